"""What engines do wrong in activations, residual sums and embeddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitparity.architectures.graph import GraphStage
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.mistakes.row import ACTIVATIONS, Row, arithmetic, hyper, instead
from bitparity.oracle.ops import Doubles
from bitparity.oracle.weights import Dense

LARGEST_F16 = 65504.0


def _activation(other: str) -> Row:
    words = f"computes {ACTIVATIONS[other]} where {{activation}} is defined"
    return Row("product", words, hyper(activation=other), lambda d, stage: d.hyper.activation != other)


def _product(how: Callable[[Doubles, Doubles], Doubles]) -> Callable[[Definition], Definition]:
    return instead("product", lambda d, stage, place, gate, up: how(gate, up))


def _of_own(how: Callable[..., Doubles]) -> Callable[[Definition], Definition]:
    """With the right activation as a function of values, then gate and up."""

    def product(d: Definition, stage: GraphStage, place: Place, gate: Doubles, up: Doubles) -> Doubles:
        return how(lambda x: d.gate(stage, place, x, np.ones_like(x)), gate, up)

    return instead("product", product)


def _sigmoid(x: Doubles) -> Doubles:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


def _sum(how: Callable[[Doubles, Doubles], Doubles]) -> Callable[[Definition], Definition]:
    return instead("sum", lambda d, stage, place, branch, stream: how(branch, stream))


def _rows(change: Callable[[Doubles], Doubles]) -> Callable[[Definition], Definition]:
    return instead("rows", lambda d, stage, place, tokens: change(d.rows(stage, place, tokens)))


def _other_token(by: int) -> Callable[[Definition], Definition]:
    def rows(d: Definition, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
        return d.rows(stage, place, [(token + by) % d.hyper.n_vocab for token in tokens])

    return instead("rows", rows)


def _token_before(d: Definition, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
    return d.rows(stage, place, [tokens[0], *tokens[:-1]])


def _transposed(d: Definition, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
    table = d.weights.embedding
    values = table.select(list(range(table.rows)))
    return values.reshape(d.hyper.n_embd, d.hyper.n_vocab).T[tokens]


def _scaled_by_width(d: Definition, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
    return np.asarray(d.rows(stage, place, tokens) * np.sqrt(d.hyper.n_embd))


def _changes_rows(kept: str) -> Callable[[Definition, GraphStage], bool]:
    def applies(d: Definition, stage: GraphStage) -> bool:
        some = d.weights.embedding.select([0, 1, 2, 3])
        return not np.array_equal(some, ops.round_to(some, kept))

    return applies


ROWS = (
    *map(_activation, ACTIVATIONS),
    Row(
        "product", "computes ReLU where {activation} is defined", _product(lambda g, u: np.maximum(g, 0) * u)
    ),
    Row(
        "product", "computes a sigmoid where {activation} is defined", _product(lambda g, u: _sigmoid(g) * u)
    ),
    Row("product", "applies no activation", _product(lambda g, u: g * u)),
    Row("product", "does not multiply by {second_input}", _of_own(lambda act, g, u: act(g))),
    Row(
        "product",
        "activates {second_input} and multiplies by {first_input}",
        _of_own(lambda act, g, u: act(u) * g),
    ),
    Row(
        "product",
        "activates the product of {first_input} and {second_input}",
        _of_own(lambda act, g, u: act(g * u)),
    ),
    Row("product", "adds {second_input} where it is to be multiplied", _of_own(lambda act, g, u: act(g) + u)),
    Row("product", "activates {second_input} as well", _of_own(lambda act, g, u: act(g) * act(u))),
    Row(
        "product",
        "squares without cutting negative values off",
        _product(lambda g, u: g * g * u),
        lambda d, stage: d.hyper.activation == "relu2",
    ),
    Row("sum", "adds no {second_input}", _sum(lambda branch, stream: branch)),
    Row("sum", "adds no {first_input}", _sum(lambda branch, stream: stream)),
    Row("sum", "adds {first_input} twice", _sum(lambda branch, stream: 2 * branch + stream)),
    Row("sum", "adds {second_input} twice", _sum(lambda branch, stream: branch + 2 * stream)),
    Row("sum", "subtracts {first_input}", _sum(lambda branch, stream: stream - branch)),
    Row("sum", "keeps the residual stream as F16", _sum(lambda b, s: ops.to_f16(b + s)), is_rounding=True),
    Row("sum", "keeps the residual stream as BF16", _sum(lambda b, s: ops.to_bf16(b + s)), is_rounding=True),
    Row("sum", "divides the residual stream by sqrt(2)", _sum(lambda b, s: (b + s) / np.sqrt(2))),
    Row(
        "rows",
        "reads the embedding transposed",
        instead("rows", _transposed),
        lambda d, stage: isinstance(d.weights.embedding, Dense),
    ),
    Row("rows", "reads the row of token id +1", _other_token(1)),
    Row("rows", "reads the row of token id -1", _other_token(-1)),
    Row("rows", "reads the row of the token before", instead("rows", _token_before)),
    Row("rows", "multiplies embeddings by the root of the model's width", instead("rows", _scaled_by_width)),
    *(
        Row(
            "rows",
            f"keeps embeddings as {kept.upper()}",
            arithmetic(embeddings=kept),
            _changes_rows(kept),
            is_rounding=True,
        )
        for kept in ("f16", "bf16", "int8", "q8_0")
    ),
)
