"""Tensors read a block of rows at a time, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import lcm

import numpy as np

from bitparity.formats import is_ternary
from bitparity.formats.base import Bytes, Codes, Floats, WeightFormat
from bitparity.formats.blocks import FloatFormat
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.mapped import forget
from bitparity.model.rows import packed_rows
from bitparity.model.types import Tensor

BLOCK_WEIGHTS = 1 << 18  # in one block of rows: few enough that what is computed of them stays in the caches
TOGETHER = 4  # rows that the layout I2_S_X4 mixes


@dataclass(frozen=True)
class RowReader:
    """A matrix, or a vector as one row, read upright.

    is_transposed  the tensor is stored the other way round
    layout         the format by which its bytes are read, if not its own
    """

    tensor: Tensor
    is_transposed: bool = False
    layout: WeightFormat | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape[::-1] if self.is_transposed else self.tensor.shape

    @cached_property
    def weight_format(self) -> WeightFormat:
        return self.layout or self.tensor.weight_format

    def packed(self, first: int, last: int) -> Bytes:
        """The bytes of some rows; of a transposed matrix of floats they are put upright."""
        if not self.is_transposed:
            return packed_rows(self.tensor, first, last)
        stored = self.tensor.data.reshape(*self.tensor.shape, -1)[:, first:last]
        return np.ascontiguousarray(stored.swapaxes(0, 1)).reshape(-1)

    def values(self, first: int, last: int) -> Floats:
        """The weights of some rows, (last - first, cols)."""
        if self.is_read_whole:
            return self._all_values[first:last]
        return self.weight_format.unpack(self.packed(first, last), last - first, self.shape[-1])

    def codes(self, first: int, last: int) -> tuple[Codes, Floats]:
        """Codes (n, cols) and scales that broadcast, (1, 1) or (n, blocks), of a ternary format."""
        if self.is_read_whole:
            codes, scales = self._all_codes
            return codes[first:last], scales if len(scales) == 1 else scales[first:last]
        assert is_ternary(self.weight_format)
        return self.weight_format.unpack_codes(self.packed(first, last), last - first, self.shape[-1])

    def forget(self, first: int, last: int) -> None:
        """Tell the system that these rows of a memory-mapped file will not be read again."""
        if self.is_transposed or not self.tensor.offset:
            return
        data, rows = self.tensor.data, (1, *self.tensor.shape)[-2]
        stride = data.size // rows
        forget(data, self.tensor.offset + first * stride, (last - first) * stride)

    @property
    def is_read_whole(self) -> bool:
        """Tiles of table-lookup formats mix rows; so does a transposed matrix in blocks."""
        is_float = isinstance(self.weight_format, FloatFormat)
        return isinstance(self.weight_format, TableLookupFormat) or (self.is_transposed and not is_float)

    @cached_property
    def _all_values(self) -> Floats:
        values = self.tensor.values()
        return values.T if self.is_transposed else values

    @cached_property
    def _all_codes(self) -> tuple[Codes, Floats]:
        assert is_ternary(self.weight_format)
        codes, scales = self.weight_format.unpack_codes(self.tensor.data, *self.tensor.shape)
        return (codes.T, scales[:1, :1]) if self.is_transposed else (codes, scales)


def row_ranges(shape: tuple[int, ...], multiple: int = TOGETHER) -> Iterator[tuple[int, int]]:
    """First and last + 1 of blocks of rows; each but the last has a multiple of so many rows."""
    rows, cols = (1, *shape)[-2:]
    step = lcm(multiple, TOGETHER)
    step *= max(1, BLOCK_WEIGHTS // (cols * step))
    for first in range(0, rows, step):
        yield first, min(first + step, rows)
