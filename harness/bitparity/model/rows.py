"""Rows of a packed matrix, unpacked without unpacking the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitparity.formats.base import Floats
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.types import Tensor


def row_block(tensor: Tensor, first: int, last: int) -> Floats:
    """Rows first ... last - 1; (last - first, cols).  Table-lookup formats mix rows: all are unpacked."""
    weight_format, (rows, cols) = tensor.weight_format, tensor.shape
    if isinstance(weight_format, TableLookupFormat):
        return tensor.values()[first:last]
    stride = weight_format.size(2, cols) - weight_format.size(1, cols)
    packed, tail = tensor.data[first * stride : last * stride], tensor.data[rows * stride :]
    if weight_format.tail_bytes:
        packed = np.concatenate([packed, tail])
    return weight_format.unpack(packed, last - first, cols)


def read_rows(tensor: Tensor, rows: Sequence[int]) -> Floats:
    """Some rows, in the order asked; (len(rows), cols)."""
    return np.concatenate([row_block(tensor, row, row + 1) for row in rows])
