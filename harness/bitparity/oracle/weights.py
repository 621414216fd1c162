"""Weights as the oracle multiplies them, unpacked when first used and kept for a few layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats import FLOATS, MULTIPLIED, ROWS, get_format, is_ternary
from bitparity.model.types import Model, Tensor
from bitparity.oracle import ops
from bitparity.oracle.ops import Codes, Doubles, Singles

PER_TOKEN = "I8_S"  # activations: int8 with a scale for each token
# the product with ternary weights, by the format that activations are quantised to
_PRODUCTS = {PER_TOKEN: ops.ternary_matmul_per_token, "Q8_K": ops.ternary_matmul_q8_k}
CHUNK = 1 << 22  # values of a dense matrix that are held as float64 at a time


@dataclass(frozen=True)
class Dense:
    """A matrix of floats, (rows, cols), given out in chunks of rows so that a large head stays packed."""

    format: str
    tensor: Tensor
    transposed: bool = False  # the file holds (cols, rows)

    @property
    def rows(self) -> int:
        return self.tensor.shape[1 if self.transposed else 0]

    def chunks(self) -> Iterator[tuple[slice, Doubles]]:
        """Yield row ranges and their values."""
        rows, cols = self.tensor.shape
        if self.transposed:
            yield slice(0, cols), self._small.T
            return
        step = max(1, CHUNK // cols)
        for start in range(0, rows, step):
            chosen = slice(start, min(start + step, rows))
            yield chosen, self._small[chosen] if rows * cols <= CHUNK else self._unpack(chosen)

    def select(self, rows: list[int]) -> Doubles:
        """Some rows, (len(rows), cols)."""
        if self.transposed:
            return self._small.T[rows]
        if self.tensor.shape[0] * self.tensor.shape[1] <= CHUNK:
            return self._small[rows]
        return np.concatenate([self._unpack(slice(row, row + 1)) for row in rows])

    @cached_property
    def _small(self) -> Doubles:
        return self.tensor.values().astype(np.float64)

    def _unpack(self, rows: slice) -> Doubles:
        cols = self.tensor.shape[1]
        form = get_format(self.format)
        size = form.size(1, cols)
        count = rows.stop - rows.start
        packed = self.tensor.data[rows.start * size : rows.stop * size]
        return form.unpack(packed, count, cols).astype(np.float64)


@dataclass(frozen=True)
class Ternary:
    """A matrix of {-1, 0, 1}, (rows, cols), with scales (1, 1) or one a block."""

    format: str
    codes: Codes
    scales: Singles

    @property
    def rows(self) -> int:
        return len(self.codes)

    @property
    def activations(self) -> str | None:
        return ROWS[self.format].activations

    def select(self, rows: list[int]) -> Doubles:
        codes = self.codes[rows].astype(np.float64)
        scales = np.broadcast_to(self.scales, (self.rows, self.scales.shape[1]))[rows].astype(np.float64)
        return codes * np.repeat(scales, codes.shape[1] // scales.shape[1], axis=1)


Matrix = Dense | Ternary


def load_matrix(tensor: Tensor, *, transposed: bool = False) -> Matrix:
    """Unpack a matrix; BadInput for a format that the oracle has no arithmetic for."""
    if tensor.format in FLOATS:
        return Dense(tensor.format, tensor, transposed)
    if tensor.format not in MULTIPLIED or transposed:
        known = ", ".join(MULTIPLIED)
        raise BadInput(f"tensor {tensor.name} is {tensor.format}; the oracle multiplies {known}")
    form, (rows, cols) = get_format(tensor.format), tensor.shape
    assert is_ternary(form)
    codes, scales = form.unpack_codes(tensor.data, rows, cols)
    return Ternary(tensor.format, codes, np.asarray(scales, np.float32))


def multiply(matrix: Matrix, x: Doubles, *, round_f16: bool, fused: bool = False) -> Doubles:
    """x (n, cols) times the matrix, (n, rows), with the input rounding that the weight format asks for.

    round_f16  F16 weights: round the input to F16 too (see arithmetic.py)
    fused      ternary weights: as in ops.quantise_per_token
    """
    if isinstance(matrix, Ternary):
        product = _PRODUCTS[str(matrix.activations)]
        return product(x.astype(np.float32), matrix.codes, matrix.scales, fused=fused)
    rounded = round_dense_input(matrix, x, round_f16=round_f16)
    out = np.empty((len(x), matrix.rows))
    for rows, values in matrix.chunks():
        out[:, rows] = rounded @ values.T
    return out


def round_dense_input(matrix: Dense, x: Doubles, *, round_f16: bool) -> Doubles:
    """The input of a dense matmul as it is multiplied."""
    if matrix.format == "BF16":
        return ops.to_bf16(x)
    return ops.to_f16(x) if matrix.format == "F16" and round_f16 else x


class OracleWeights:
    """The weights of a model by layer and role, with the layers used last kept unpacked.

    keep_layers  how many; None keeps all
    """

    def __init__(self, model: Model, keep_layers: int | None = None) -> None:
        self._weights = model.weights
        self._keep = keep_layers or model.hyper.n_layer
        self._layers: OrderedDict[int, dict[str, Matrix | Doubles]] = OrderedDict()

    def matrix(self, layer: int, role: str) -> Matrix:
        """A projection of a layer; head and token_embd are in layer -1."""
        if layer < 0:
            return self.head if role == "head" else self.embedding
        found = self._cached(layer, role, load_matrix)
        assert not isinstance(found, np.ndarray)
        return found

    def vector(self, layer: int, role: str) -> Doubles:
        """A norm's weight; output_norm is in layer -1."""
        if layer < 0:
            return self.output_norm
        found = self._cached(layer, role, lambda tensor: tensor.values().astype(np.float64))
        assert isinstance(found, np.ndarray)
        return found

    @cached_property
    def embedding(self) -> Matrix:
        w = self._weights
        return load_matrix(w.token_embd, transposed=w.embedding_is_transposed)

    @property
    def head_is_tied(self) -> bool:
        return self._weights.head_is_tied

    @cached_property
    def head(self) -> Matrix:
        return self.embedding if self.head_is_tied else load_matrix(self._weights.head)

    @cached_property
    def output_norm(self) -> Doubles:
        return self._weights.output_norm.values().astype(np.float64)

    @cached_property
    def rope_factors(self) -> Doubles | None:
        factors = self._weights.rope_factors
        return None if factors is None else factors.values().astype(np.float64)

    def _cached(self, layer: int, role: str, load: Callable[[Tensor], Matrix | Doubles]) -> Matrix | Doubles:
        kept = self._layers.setdefault(layer, {})
        self._layers.move_to_end(layer)
        while len(self._layers) > self._keep:
            self._layers.popitem(last=False)
        if role not in kept:
            kept[role] = load(self._weights.layers[layer][role])
        return kept[role]
