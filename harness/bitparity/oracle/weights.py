"""Weights as the oracle multiplies them, unpacked when first used and kept for a few layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats import DENSE, FLOATS, MULTIPLIED, ROWS, get_format, is_ternary
from bitparity.formats.q4_1 import Q4_1
from bitparity.model.types import Model, Tensor
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import AS_STORED, BY_FORMAT, Arithmetic
from bitparity.oracle.ops import Codes, Doubles, Singles

PER_TOKEN = "I8_S"  # activations: int8 with a scale for each token
# the product with ternary weights, by the format that activations are quantised to
_PRODUCTS = {
    PER_TOKEN: ops.ternary_matmul_per_token,
    "Q8_K": ops.ternary_matmul_q8_k,
    "Q8_0": ops.ternary_matmul_q8_0,
}
_OWN_QUANTISERS = {
    PER_TOKEN: ops.Quantiser(),
    "Q8_K": ops.Quantiser(ops.Q8_K_BLOCK),
    "Q8_0": ops.Quantiser(ops.Q8_0_BLOCK),
}
# the type to which a product with weights in blocks rounds its input
_BLOCK_TYPES = {"Q8_0": "q8_0", "Q8_1": "q8_0", "Q8_K": "q8_k"}
CHUNK = 1 << 22  # values of a dense matrix that are held as float64 at a time


@dataclass(frozen=True)
class Dense:
    """A matrix of real weights, (rows, cols), given out in chunks of rows so that a large head stays packed.

    transposed  the file holds (cols, rows)
    kept_as     type to which an engine converts the stored values (a name of ops.round_to)
    """

    format: str
    tensor: Tensor
    transposed: bool = False
    kept_as: str = "f32"

    @property
    def rows(self) -> int:
        return self.tensor.shape[1 if self.transposed else 0]

    def chunks(self) -> Iterator[tuple[slice, Doubles]]:
        """Yield row ranges and their values."""
        rows, cols = self.tensor.shape
        if self.is_kept:
            yield slice(0, self.rows), self._small
            return
        step = max(1, CHUNK // cols)
        for start in range(0, rows, step):
            chosen = slice(start, min(start + step, rows))
            yield chosen, self._unpack(chosen)

    def select(self, rows: list[int]) -> Doubles:
        """Some rows, (len(rows), cols)."""
        if self.is_kept:
            return self._small[rows]
        return np.concatenate([self._unpack(slice(row, row + 1)) for row in rows])

    @cached_property
    def _small(self) -> Doubles:
        stored = self.tensor.values().astype(np.float64)
        return ops.round_to(stored.T if self.transposed else stored, self.kept_as)

    @property
    def is_kept(self) -> bool:
        """Whether its values stay in memory once they are unpacked."""
        return self.transposed or self.tensor.shape[0] * self.tensor.shape[1] <= CHUNK

    @cached_property
    def columns(self) -> Doubles:
        """(cols, rows), of a matrix that is kept: BLAS multiplies few rows with it eight times as fast."""
        return np.ascontiguousarray(self._small.T)

    def _unpack(self, rows: slice) -> Doubles:
        cols = self.tensor.shape[1]
        form = get_format(self.format)
        size = form.size(1, cols)
        count = rows.stop - rows.start
        packed = self.tensor.data[rows.start * size : rows.stop * size]
        return ops.round_to(form.unpack(packed, count, cols).astype(np.float64), self.kept_as)


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
    def columns(self) -> Doubles:
        """Its values, (cols, rows), or its codes where a row has one scale; kept if there are few of them."""
        return self._columns if self.codes.size <= CHUNK else self._transposed()

    @cached_property
    def _columns(self) -> Doubles:
        return np.ascontiguousarray(self._transposed())

    @property
    def has_row_scales(self) -> bool:
        return bool(self.scales.shape[1] == 1)

    def _transposed(self) -> Doubles:
        if self.has_row_scales:
            return self.codes.astype(np.float64).T
        per_row = np.repeat(self.scales, self.codes.shape[1] // self.scales.shape[1], axis=1)
        values: Doubles = self.codes.astype(np.float64) * per_row
        return values.T

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
    if tensor.format in (FLOATS if transposed else DENSE):
        return Dense(tensor.format, tensor, transposed)
    if tensor.format not in MULTIPLIED or transposed:
        known = ", ".join(MULTIPLIED)
        raise BadInput(f"tensor {tensor.name} is {tensor.format}; the oracle multiplies {known}")
    form, (rows, cols) = tensor.weight_format, tensor.shape
    assert is_ternary(form)
    codes, scales = form.unpack_codes(tensor.data, rows, cols)
    return Ternary(tensor.format, codes, np.asarray(scales, np.float32))


def multiply(matrix: Matrix, x: Doubles, arithmetic: Arithmetic, rows: int) -> Doubles:
    """x (n, cols) times the matrix, (n, rows of it), with the roundings that an arithmetic has at its input.

    rows  of the batch that the engine multiplied together
    """
    if isinstance(matrix, Ternary):
        own = str(matrix.activations)
        if quantiser_of(matrix, arithmetic) == _OWN_QUANTISERS[own]:  # then sums are of integers, exact
            fused = arithmetic.fused_quantiser
            return _PRODUCTS[own](x.astype(np.float32), matrix.codes, matrix.scales, fused=fused)
    out = product(matrix, operand(matrix, x, arithmetic, rows))
    if isinstance(matrix, Dense) and matrix.format == Q4_1.name and arithmetic.quantises_for_blocks:
        leasts = Q4_1.leasts(matrix.tensor.data, matrix.rows, x.shape[1])
        out += ops.excess_of_sums(x.astype(np.float32)) @ leasts.astype(np.float64).T
    return out


def operand(matrix: Matrix, x: Doubles, arithmetic: Arithmetic, rows: int) -> Doubles:
    """The input of a product as it is multiplied, rounded or quantised, (n, cols)."""
    if isinstance(matrix, Ternary):
        return quantiser_of(matrix, arithmetic)(x.astype(np.float32), fused=arithmetic.fused_quantiser)
    return round_dense_input(matrix, x, arithmetic, rows)


def product(matrix: Matrix, x: Doubles) -> Doubles:
    """x (n, cols) times the matrix in float64, (n, rows of it)."""
    if isinstance(matrix, Ternary):  # scales come last, so that a sum of integers that is 0 stays exactly 0
        sums: Doubles = x @ matrix.columns
        return sums * matrix.scales[:, 0].astype(np.float64) if matrix.has_row_scales else sums
    if matrix.is_kept:
        return x @ matrix.columns
    out = np.empty((len(x), matrix.rows))
    for chosen, values in matrix.chunks():
        out[:, chosen] = x @ values.T
    return out


def round_dense_input(matrix: Dense, x: Doubles, arithmetic: Arithmetic, rows: int) -> Doubles:
    """The input of a dense matmul as it is multiplied; weights in blocks meet int8 in blocks."""
    if matrix.format in FLOATS:
        return ops.round_to(x, arithmetic.input_type(matrix.format, rows))
    if not arithmetic.quantises_for_blocks:
        return x
    return ops.round_to(x, _BLOCK_TYPES[str(ROWS[matrix.format].activations)])


def quantiser_of(matrix: Ternary, arithmetic: Arithmetic) -> ops.Quantiser:
    """How an arithmetic quantises the other operand of a ternary matrix to int8."""
    own = _OWN_QUANTISERS[str(matrix.activations)]
    blocks = {BY_FORMAT: own.block, "token": None, "none": 0}
    share = arithmetic.activations
    block = blocks[share] if share in blocks else int(share.removeprefix("block "))
    return ops.Quantiser(block, int(arithmetic.largest), arithmetic.rounding)


class OracleWeights:
    """The weights of a model by layer and role, with the layers used last kept unpacked.

    keep_layers  how many; None keeps all
    """

    def __init__(self, model: Model, keep_layers: int | None = None) -> None:
        self._weights = model.weights
        self._keep = keep_layers or model.hyper.n_layer
        self._layers: OrderedDict[int, dict[str, Matrix | Doubles]] = OrderedDict()
        self._heads: dict[str, Matrix] = {}

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

    def head_kept_as(self, precision: str) -> Matrix:
        """Convert the head to another type than it is stored in; a ternary head stays as it is."""
        head = self.head
        if precision == AS_STORED or isinstance(head, Ternary):
            return head
        return self._heads.setdefault(precision, replace(head, kept_as=precision))

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
