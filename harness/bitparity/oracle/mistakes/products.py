"""What engines do wrong in products with matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bitparity.architectures.graph import GraphStage
from bitparity.model.rope_order import rope_halves_to_pairs, rope_pairs_to_halves
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.mistakes.row import Row, arithmetic, instead
from bitparity.oracle.ops import Codes, Doubles
from bitparity.oracle.weights import Dense, Matrix, Ternary, multiply, quantiser_of

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "attn_out", "ffn_gate", "ffn_up", "ffn_out")
_ROUNDINGS = {"away": "half away from zero", "zero": "towards zero", "down": "down"}
_SHARES = {"token": "a whole token", "block 256": "256 activations", "block 128": "128 activations"}


def _is_ternary(d: Definition, stage: GraphStage) -> bool:
    return isinstance(d.matrix(stage, 0 if stage.weight != "head" else -1), Ternary)


def _is_per_token(d: Definition, stage: GraphStage) -> bool:
    matrix = d.matrix(stage, 0 if stage.weight != "head" else -1)
    return isinstance(matrix, Ternary) and matrix.activations == "I8_S" and matrix.scales.size == 1


def _is_head(d: Definition, stage: GraphStage) -> bool:
    return stage.weight == "head"


def _is_tied_head(d: Definition, stage: GraphStage) -> bool:
    return _is_head(d, stage) and d.weights.head_is_tied and isinstance(d.weights.embedding, Dense)


def _shape(matrix: Matrix) -> tuple[int, ...]:
    return matrix.codes.shape if isinstance(matrix, Ternary) else matrix.tensor.shape


def _with_matrix(
    find: Callable[[Definition, GraphStage, Place], Matrix],
) -> Callable[[Definition], Definition]:
    """Multiply with another matrix, or with none if its shape does not fit (ValueError)."""

    def project(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        other = find(d, stage, place)
        if _shape(other) != _shape(d.matrix(stage, place.layer)):
            raise ValueError("the other matrix has another shape")
        return multiply(other, x, d.arithmetic, place.rows)

    return instead("projection", project)


def _with_codes(change: Callable[[Codes], Codes]) -> Callable[[Definition], Definition]:
    """Multiply with other ternary codes, (rows, cols)."""

    def project(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        matrix = d.matrix(stage, place.layer)
        assert isinstance(matrix, Ternary)
        return multiply(replace(matrix, codes=change(matrix.codes)), x, d.arithmetic, place.rows)

    return instead("projection", project)


def _with_parts(how: Callable[[Doubles, Doubles, Ternary], Doubles]) -> Callable[[Definition], Definition]:
    """Put codes (n, cols) and scales (n, 1) of the activations and the matrix together otherwise."""

    def project(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        matrix = d.matrix(stage, place.layer)
        assert isinstance(matrix, Ternary)
        codes, s = ops.quantise_per_token(x.astype(np.float32))
        return how(codes.astype(np.float64), s.astype(np.float64), matrix)

    return instead("projection", project)


def _sums(codes: Doubles, matrix: Ternary) -> Doubles:
    return np.asarray(codes @ matrix.codes.astype(np.float64).T)


def _scale(matrix: Ternary) -> float:
    return float(matrix.scales.flat[0])


def _with_input(change: Callable[[Doubles], Doubles]) -> Callable[[Definition], Definition]:
    """Multiply with another input, (n, cols)."""
    return instead("projection", lambda d, stage, place, x: d.project(stage, place, change(x)))


def _with_output(change: Callable[[Doubles], Doubles]) -> Callable[[Definition], Definition]:
    """Hand out something else than the product, (n, rows)."""
    return instead("projection", lambda d, stage, place, x: change(d.project(stage, place, x)))


def _last_block_missing(x: Doubles) -> Doubles:
    cut = x.copy()
    cut[:, -(x.shape[1] // 8) :] = 0
    return cut


def _blocks_turned(block: int, groups: int) -> Callable[[Codes], Codes]:
    """Weights of a block in the order of another packing: `groups` interleaved where they lie one by one."""

    def turn(codes: Codes) -> Codes:
        rows, cols = codes.shape
        if cols % block:
            raise ValueError("rows are no whole blocks")
        parts = codes.reshape(rows, -1, groups, block // groups)
        return np.ascontiguousarray(parts.transpose(0, 1, 3, 2)).reshape(rows, cols)

    return turn


def _arm_blocks(codes: Codes) -> Codes:
    """Blocks of 128 written for x86 (4 runs of 32) and read as on ARM, as two blocks of 64 (4 runs of 16)."""
    rows, cols = codes.shape
    if cols % 128:
        raise ValueError("rows are no whole blocks")
    parts = codes.reshape(rows, -1, 4, 2, 16)  # run, half of the bytes, byte
    return np.ascontiguousarray(parts.transpose(0, 1, 3, 2, 4)).reshape(rows, cols)


def _four_rows_interleaved(codes: Codes) -> Codes:
    rows, cols = codes.shape
    if rows % 4 or cols % 4:
        raise ValueError("rows are no whole groups of four")
    parts = codes.reshape(rows // 4, cols, 4)
    return np.ascontiguousarray(parts.transpose(0, 2, 1)).reshape(rows, cols)


def _transposed(codes: Codes) -> Codes:
    if codes.shape[0] != codes.shape[1]:
        raise ValueError("the matrix is not square")
    return np.ascontiguousarray(codes.T)


def _wrapped(codes: Doubles, s: Doubles, matrix: Ternary) -> Doubles:
    """At fewer bits than any engine has, so that it shows in small models."""
    sums = _sums(codes, matrix)
    return (np.mod(sums + 2.0**11, 2.0**12) - 2.0**11) / s * _scale(matrix)


def _log_softmax(logits: Doubles) -> Doubles:
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))


def _previous_row(rows: Doubles) -> Doubles:
    return np.concatenate([rows[:1], rows[:-1]])


def _misread(table: Dense, shape: tuple[int, int]) -> Doubles:
    """The bytes of an (n_vocab, n_embd) matrix read as if they were (n_embd, n_vocab)."""
    return table.select(list(range(table.rows))).reshape(shape).T


def _transposed_embedding(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
    table = d.weights.embedding
    assert isinstance(table, Dense)
    return np.asarray(x @ _misread(table, (d.hyper.n_embd, d.hyper.n_vocab)).T)


def _in_the_other_order(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
    """What a converter makes that leaves out the permutation of Q and K, or makes one too many."""
    rows = d.project(stage, place, x).T
    move = rope_pairs_to_halves if d.hyper.rope_pairs == "norm" else rope_halves_to_pairs
    return np.asarray(move(rows, len(rows) // d.hyper.head_dim).T)


def _has_the_shape_of(name: str) -> Callable[[Definition, GraphStage], bool]:
    def applies(d: Definition, stage: GraphStage) -> bool:
        if stage.name == name or stage.weight == "head" or name not in d.stages:
            return False
        return _shape(d.matrix(stage, 0)) == _shape(d.matrix(d.stages[name], 0))

    return applies


def _of_other_stages() -> Iterator[Row]:
    for name in PROJECTIONS:

        def find(d: Definition, stage: GraphStage, place: Place, name: str = name) -> Matrix:
            if name not in d.stages or place.layer < 0:
                raise ValueError(f"there is no {name} there")
            return d.matrix(d.stages[name], place.layer)

        planted = {"ffn_up": "ffn_gate", "ffn_gate": "ffn_up", "k_proj": "v_proj", "v_proj": "k_proj"}
        planted |= {"q_proj": "attn_out", "attn_out": "q_proj"}
        yield Row(
            "projection",
            f"multiplies with the weight of {name}",
            _with_matrix(find),
            _has_the_shape_of(name),
            planted.get(name),
        )


def _of_other_layers() -> Iterator[Row]:
    for step, where in ((-1, "before"), (1, "after")):

        def find(d: Definition, stage: GraphStage, place: Place, step: int = step) -> Matrix:
            if place.layer < 0 or not 0 <= place.layer + step < d.hyper.n_layer:
                raise ValueError("there is no such layer")
            return d.matrix(stage, place.layer + step)

        yield Row("projection", f"multiplies with the weight of the layer {where}", _with_matrix(find))


def _precisions() -> Iterator[Row]:
    for rounding, words in _ROUNDINGS.items():
        yield Row(
            "projection",
            f"rounds int8 activations {words} where half to even is defined",
            arithmetic(rounding=rounding),
            _is_ternary,
            is_rounding=True,
        )
    yield Row(
        "projection",
        "does not quantise the activations",
        arithmetic(activations="none"),
        _is_ternary,
        is_rounding=True,
    )
    yield Row(
        "projection",
        "gives the largest activation code 128 where 127 is defined",
        arithmetic(largest="128"),
        _is_ternary,
        is_rounding=True,
    )
    for share, words in _SHARES.items():
        yield Row(
            "projection",
            f"quantises activations with one scale for {words}",
            arithmetic(activations=share),
            _quantises_otherwise(share),
            "ffn_out",
            is_rounding=True,
        )
    for to, words in (("f16", "rounds the input to F16"), ("f32", "does not round the input to F16")):
        yield Row(
            "projection",
            f"{words} before the product",
            arithmetic(f16_inputs=to),
            lambda d, stage: not _is_ternary(d, stage) and _is_f16(d, stage),
            "logits",
            is_rounding=True,
        )
    for head, words in (("int8", "an int8"), ("q8_0", "a Q8_0")):
        yield Row(
            "projection", f"multiplies with {words} head", arithmetic(head=head), _is_head, "logits", True
        )


def _quantises_otherwise(share: str) -> Callable[[Definition, GraphStage], bool]:
    def applies(d: Definition, stage: GraphStage) -> bool:
        matrix = d.matrix(stage, 0 if stage.weight != "head" else -1)
        if not isinstance(matrix, Ternary):
            return False
        cols = matrix.codes.shape[1]
        own, other = (quantiser_of(matrix, a) for a in (d.arithmetic, d.arithmetic.having(activations=share)))
        return (own.block or cols) != (other.block or cols) and cols % (other.block or cols) == 0

    return applies


def _is_f16(d: Definition, stage: GraphStage) -> bool:
    return d.matrix(stage, 0 if stage.weight != "head" else -1).format == "F16"


def _ternary(words: str, make: Callable[[Definition], Definition]) -> Row:
    return Row("projection", words, make, _is_per_token)


def _scales() -> Iterator[Row]:
    yield _ternary("leaves out the weight scale", _with_parts(lambda v, s, m: _sums(v, m) / s))
    yield _ternary("divides by the weight scale", _with_parts(lambda v, s, m: _sums(v, m) / s / _scale(m)))
    yield _ternary("leaves out the activation scale", _with_parts(lambda v, s, m: _sums(v, m) * _scale(m)))
    yield _ternary(
        "multiplies by the activation scale that is to be divided by",
        _with_parts(lambda v, s, m: _sums(v, m) * s * _scale(m)),
    )
    yield _ternary(
        "takes the activation scale of the row before",
        _with_parts(lambda v, s, m: _sums(v, m) / _previous_row(s) * _scale(m)),
    )
    yield _ternary(
        "takes the activation scale of the first row for all rows",
        _with_parts(lambda v, s, m: _sums(v, m) / s[:1] * _scale(m)),
    )
    yield Row(
        "projection",
        "takes the smallest activation scale of the call for all rows",
        _with_parts(lambda v, s, m: _sums(v, m) / np.min(s) * _scale(m)),
        _is_per_token,
        "attn_out",
    )


def _codes() -> Iterator[Row]:
    yield _ternary("takes weights with the opposite sign", _with_codes(lambda c: np.negative(c)))
    yield _ternary(
        "does not subtract the sum of the activations: takes weights 0, 1, 2 for -1, 0, 1",
        _with_codes(lambda c: (c + 1).astype(np.int8)),
    )
    yield _ternary(
        "takes weights -2, -1, 1 for -1, 0, 1",
        _with_codes(lambda c: np.array([-2, -1, 1], np.int8)[c + 1]),
    )
    yield _ternary("takes weights 1 for -1", _with_codes(np.abs))
    yield _ternary("reads I2_S blocks of 128 weights as two of 64, as on ARM", _with_codes(_arm_blocks))
    yield _ternary("reads the four weights of a byte as neighbours", _with_codes(_blocks_turned(128, 4)))
    yield _ternary("reads four rows interleaved", _with_codes(_four_rows_interleaved))
    yield _ternary("reads the columns in reverse order", _with_codes(lambda c: c[:, ::-1].copy()))
    yield _ternary("reads the rows in reverse order", _with_codes(lambda c: c[::-1].copy()))
    yield _ternary("reads each row one row further on", _with_codes(lambda c: np.roll(c, -1, axis=0)))
    yield _ternary("reads each row one row further back", _with_codes(lambda c: np.roll(c, 1, axis=0)))
    yield Row(
        "projection",
        "has the rows of a head in the order of RoPE pairs {other_pairs} where {pairs} is defined",
        instead("projection", _in_the_other_order),
        lambda d, stage: stage.name in ("q_proj", "k_proj"),
        "q_proj",
    )
    yield Row(
        "projection",
        "multiplies with the transposed matrix",
        _with_codes(_transposed),
        lambda d, stage: _is_per_token(d, stage) and stage.name in ("q_proj", "attn_out"),
        "attn_out",
    )
    yield _ternary(
        "clips int8 activations to 64 codes either way",
        _with_parts(lambda v, s, m: _sums(np.clip(v, -64, 63), m) / s * _scale(m)),
    )
    yield _ternary(
        "takes int8 activations for unsigned",
        _with_parts(lambda v, s, m: _sums(np.where(v < 0, v + 256, v), m) / s * _scale(m)),
    )
    yield _ternary("lets its sums wrap around at 12 bits", _with_parts(_wrapped))


def _inputs_and_outputs() -> Iterator[Row]:
    yield Row(
        "projection",
        "leaves out the last eighth of the columns",
        _with_input(_last_block_missing),
    )
    yield Row(
        "projection",
        "gives every row of a call the first row's product",
        _with_output(lambda rows: np.broadcast_to(rows[:1], rows.shape).copy()),
    )
    yield Row("projection", "gives a row the product of the row before", _with_output(_previous_row))
    yield Row("projection", "gives twice what is defined", _with_output(lambda rows: 2 * rows))


def _heads() -> Iterator[Row]:
    yield Row(
        "projection",
        "multiplies with the embedding where output.weight is defined",
        _with_matrix(lambda d, stage, place: d.weights.embedding),
        lambda d, stage: _is_head(d, stage) and not d.weights.head_is_tied,
        "logits",
    )
    yield Row(
        "projection",
        "reads the embedding transposed",
        instead("projection", _transposed_embedding),
        _is_tied_head,
        "logits",
    )
    returned = {
        "returns log-probabilities where logits are defined": _log_softmax,
        "returns probabilities where logits are defined": lambda rows: np.exp(_log_softmax(rows)),
        "caps logits at 30 by tanh": lambda rows: 30 * np.tanh(rows / 30),
        "subtracts the largest logit": lambda rows: rows - np.max(rows, axis=-1, keepdims=True),
        "returns the logits of the token ids one further on": lambda rows: np.roll(rows, -1, axis=-1),
    }
    for words, change in returned.items():
        yield Row("projection", words, _with_output(change), _is_head, "logits")


ROWS = (
    *_precisions(),
    *_of_other_stages(),
    *_of_other_layers(),
    *_scales(),
    *_codes(),
    *_inputs_and_outputs(),
    *_heads(),
)
