"""The weight mapping: which tensor plays which part, and how the embedding and the head lie.

| rule | seen by | head |
|---|---|---|
| tied | no output.weight | the embedding itself |
| dedicated | output.weight | that tensor, [V, H] |
| standard | token_embd.weight is [V, H] | a token's embedding is a row |
| transposed | token_embd.weight is [H, V] | a token's embedding is a column |

A square embedding (V = H) is taken as standard, because its shape does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Floats
from bitparity.model.rope_scaling import RopeScaling
from bitparity.model.rows import read_rows
from bitparity.model.types import HyperParameters, LayerWeights, Model, Tensor, Weights


class _Tensors:
    """Tensors of a file; remembers which were taken."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.taken = tensors, set[str]()

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self.optional(name, shape)
        if tensor is None:
            raise BadInput(f"tensor {name} is missing; its shape would be {list(shape)}")
        return tensor

    def optional(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        if tensor.shape != shape:
            raise ShapeError(
                f"tensor {name} has the shape {list(tensor.shape)}, but the metadata asks for {list(shape)}"
            )
        self.taken.add(name)
        return tensor


def map_weights(hyper: HyperParameters, tensors: Mapping[str, Tensor]) -> Weights:
    """Give every tensor its part.

    Raises BadInput or ShapeError that names the tensor which is missing, misshapen or has no part: ignoring a
    bias or a separate scale would change the numbers without a word.
    """
    source = _Tensors(tensors)
    token_embd, is_transposed = _embedding(source, hyper)
    output = source.optional("output.weight", (hyper.n_vocab, hyper.n_embd))
    weights = Weights(
        token_embd=token_embd,
        embedding_is_transposed=is_transposed,
        head=output or token_embd,
        head_is_tied=output is None,
        output_norm=source.take("output_norm.weight", (hyper.n_embd,)),
        rope_factors=source.optional("rope_freqs.weight", (hyper.rope_dim // 2,)),
        layers=tuple(_layer(source, hyper, i) for i in range(hyper.n_layer)),
    )
    unused = sorted(set(tensors) - source.taken)
    if unused:
        raise BadInput(
            f"tensor {unused[0]} (of {len(unused)} such) has no part in the architecture {hyper.arch!r}; "
            "biases and separate scales are not supported"
        )
    return weights


def _embedding(source: _Tensors, hyper: HyperParameters) -> tuple[Tensor, bool]:
    standard, name = (hyper.n_vocab, hyper.n_embd), "token_embd.weight"
    found = source.tensors.get(name)
    is_transposed = found is not None and found.shape == standard[::-1] != standard
    return source.take(name, standard[::-1] if is_transposed else standard), is_transposed


def _layer(source: _Tensors, hyper: HyperParameters, layer: int) -> LayerWeights:
    return {
        weight.role: source.take(weight.name(layer), tuple(hyper.size(axis) for axis in weight.axes))
        for weight in hyper.architecture.weights
    }


def embedding_rows(model: Model, tokens: Sequence[int]) -> Floats:
    """The embeddings of some tokens, through the mapping; (len(tokens), n_embd)."""
    return _vocabulary_rows(model.weights.token_embd, tokens, model.weights.embedding_is_transposed)


def head_rows(model: Model, tokens: Sequence[int]) -> Floats:
    """The head's weights of some tokens, through the mapping; (len(tokens), n_embd)."""
    weights = model.weights
    return _vocabulary_rows(weights.head, tokens, weights.head_is_tied and weights.embedding_is_transposed)


def _vocabulary_rows(tensor: Tensor, tokens: Sequence[int], is_transposed: bool) -> Floats:
    if not is_transposed:
        return read_rows(tensor, tokens)
    wanted = list(tokens)
    return np.stack([read_rows(tensor, [i])[0, wanted] for i in range(tensor.shape[0])], axis=1)


def describe_mapping(model: Model) -> list[str]:
    """Which rules hold for this model, a sentence each."""
    hyper, weights = model.hyper, model.weights
    inner = ", ".join(norm.name for norm in hyper.architecture.inner_norms)
    embedding, head = weights.token_embd, weights.head
    axes = "[H, V], a token is a column" if weights.embedding_is_transposed else "[V, H], a token is a row"
    square = ", taken as standard because it is square" if hyper.n_vocab == hyper.n_embd else ""
    order = "transposed" if weights.embedding_is_transposed else "standard"
    if weights.head_is_tied:
        head_rule = f"head: tied, logits are products with {embedding.name}, used as it is stored"
    else:
        head_rule = f"head: dedicated, {head.name} {list(head.shape)} {head.format}"
    return [
        f"embedding: {embedding.name} {list(embedding.shape)} {embedding.format}, {order} ({axes}){square}",
        head_rule,
        f"activation: {hyper.activation}; norms inside branches: {inner or 'none'}",
        f"RoPE: {hyper.rope_pairs} pairs, {hyper.rope_dim} of {hyper.head_dim} dimensions, "
        f"base {hyper.rope_base:g}{_stretched(hyper.rope_scaling)}"
        f"{', divided by rope_freqs.weight' if weights.rope_factors else ''}",
    ]


def _stretched(scaling: RopeScaling | None) -> str:
    if scaling is None:
        return ""
    beyond = f" beyond {scaling.original_context} positions" if scaling.kind == "yarn" else ""
    return f", stretched {scaling.factor:g} times{beyond} ({scaling.kind})"


def check_mapping(model: Model) -> list[str]:
    """Look at every tensor's values through the mapping; what was seen, a sentence each.

    Norms are read as a whole, matrices by their first and last row, the vocabulary by up to 64 tokens.
    Raises BadInput that names the tensor which is not finite or all zero.
    """
    weights, tokens = model.weights, _spread(model.hyper.n_vocab, 64)
    vectors = [tensor for tensor in model.tensors.values() if len(tensor.shape) == 1]
    vocabulary = (weights.token_embd.name, weights.head.name)
    matrices = [t for t in model.tensors.values() if len(t.shape) == 2 and t.name not in vocabulary]
    for vector in vectors:
        _require_sound(model, vector, vector.values())
    for matrix in matrices:
        _require_sound(model, matrix, read_rows(matrix, (0, matrix.shape[0] - 1)))
    embedding, head = embedding_rows(model, tokens), head_rows(model, tokens)
    _require_sound(model, weights.token_embd, embedding)
    _require_sound(model, weights.head, head)
    same = "equal to" if np.array_equal(embedding, head) else "other than"
    return [
        f"checked: {len(vectors)} vectors and the first and last row of {len(matrices)} matrices are finite",
        f"checked: {len(tokens)} embeddings are finite; the same tokens' rows of the head are {same} them",
    ]


def _spread(n: int, most: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})


def _require_sound(model: Model, tensor: Tensor, values: Floats) -> None:
    where = f"{model.path.name}: tensor {tensor.name}"
    if not np.isfinite(values).all():
        raise BadInput(f"{where} has values that are not finite; convert it again")
    if not values.any():
        raise BadInput(f"{where} is zero wherever it was looked at; convert it again")
