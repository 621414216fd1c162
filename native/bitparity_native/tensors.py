"""Tensors of a file as the C++ core takes them: packed matrices where they lie, vectors as float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitparity.architectures.graph import Architecture
from bitparity.errors import BadInput
from bitparity.formats import FLOATS, FORMATS, get_format, is_ternary
from bitparity.formats.codes import CODES
from bitparity.formats.i2_s import I2_S
from bitparity.formats.q2_0 import Q2_0, Q2_0_G128
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.types import LayerWeights, Model, Tensor, Weights
from bitparity_native import _core


def runnable_formats() -> set[str]:
    """The weight formats in which native runs models."""
    return {*_core.kernels.weight_formats(), *(name for name in FORMATS if _is_repacked(name))}


def _is_repacked(name: str) -> bool:
    """Whether native repacks the format when it opens a model."""
    return _runs_as_i2_s(name) or name == Q2_0_G128.name


def _runs_as_i2_s(name: str) -> bool:
    """TL1, TL2, and the ternary weights of a checkpoint.

    Their products are the same integers as those of I2_S, of the same activations, and are scaled alike: only
    the order of the codes is theirs.
    """
    return isinstance(FORMATS[name], TableLookupFormat) or name == CODES.name


def vector_of(tensor: Tensor) -> NDArray[np.float32]:
    """The values of a norm weight or of the RoPE factors, (n,)."""
    return np.ascontiguousarray(tensor.values(), dtype=np.float32)


def matrix_of(tensor: Tensor) -> _core.Matrix:
    """A packed (rows, cols) matrix, not copied, but for formats that are repacked as I2_S or Q2_0."""
    rows, cols = tensor.shape
    form = tensor.weight_format
    if tensor.format == Q2_0_G128.name:
        return _core.Matrix(Q2_0.name, rows, cols, Q2_0_G128.in_blocks_of_64(tensor.data))
    if _runs_as_i2_s(tensor.format):
        assert is_ternary(form)
        codes, scale = form.unpack_codes(tensor.data, rows, cols)
        padded = np.pad(codes, ((0, 0), (0, -cols % I2_S.block)))
        return _core.Matrix(I2_S.name, rows, cols, I2_S.pack_codes(padded, float(scale[0, 0])))
    return _core.Matrix(tensor.format, rows, cols, tensor.data)


def output_matrices(weights: Weights) -> tuple[_core.Matrix, _core.Matrix]:
    """(embedding, head), both (n_vocab, n_embd).

    Both are views of the file, except where that cannot serve: an embedding stored transposed is copied in
    the usual order, one in a format that no engine takes embeddings in is unpacked to float32.
    """
    stored = weights.token_embd
    if weights.embedding_is_transposed:
        embedding = _transposed(stored)
    elif stored.format in (*_core.embedding_formats(), Q2_0_G128.name):
        embedding = matrix_of(stored)
    else:
        embedding = _packed("F32", stored.values())
    if not weights.head_is_tied:
        return embedding, matrix_of(weights.head)
    return embedding, embedding if weights.embedding_is_transposed else matrix_of(stored)


def layers_of(model: Model) -> list[_core.Layer]:
    return [_layer(layer, model.hyper.architecture) for layer in model.weights.layers]


def _layer(layer: LayerWeights, graph: Architecture) -> _core.Layer:
    return _core.Layer(
        attn_norm=vector_of(layer["attn_norm"]),
        q=matrix_of(layer["q"]),
        k=matrix_of(layer["k"]),
        v=matrix_of(layer["v"]),
        attn_out=matrix_of(layer["attn_out"]),
        ffn_norm=vector_of(layer["ffn_norm"]),
        gate=matrix_of(layer["gate"]),
        up=matrix_of(layer["up"]),
        down=matrix_of(layer["down"]),
        inner_norms=[(n.name, graph.reader_of(n), vector_of(layer[n.weight])) for n in graph.inner_norms],
    )


def _transposed(tensor: Tensor) -> _core.Matrix:
    """(n_embd, n_vocab) as stored, copied to (n_vocab, n_embd); BadInput for a format that would round."""
    if tensor.format not in FLOATS:
        raise BadInput(
            f"native: tensor {tensor.name} is stored transposed in {tensor.format}; "
            f"a transposed embedding must be in {', '.join(FLOATS)}"
        )
    return _packed(tensor.format, tensor.values().T)


def _packed(weight_format: str, values: NDArray[np.float32]) -> _core.Matrix:
    rows, cols = values.shape
    return _core.Matrix(weight_format, rows, cols, get_format(weight_format).pack(values))
