"""Rows of a packed matrix, unpacked without unpacking the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.types import Tensor


def packed_rows(tensor: Tensor, first: int, last: int) -> Bytes:
    """The bytes of rows first ... last - 1, with the tail that all rows share.

    Not for table-lookup formats, whose tiles mix rows."""
    weight_format, (rows, cols) = tensor.weight_format, (1, *tensor.shape)[-2:]
    stride = weight_format.size(2, cols) - weight_format.size(1, cols)
    packed = tensor.data[first * stride : last * stride]
    return np.concatenate([packed, tensor.data[rows * stride :]]) if weight_format.tail_bytes else packed


def row_block(tensor: Tensor, first: int, last: int) -> Floats:
    """Rows first ... last - 1; (last - first, cols).  Table-lookup formats mix rows: all are unpacked."""
    weight_format = tensor.weight_format
    if isinstance(weight_format, TableLookupFormat):
        return tensor.values()[first:last]
    return weight_format.unpack(packed_rows(tensor, first, last), last - first, tensor.shape[1])


def read_rows(tensor: Tensor, rows: Sequence[int]) -> Floats:
    """Some rows, in the order asked; (len(rows), cols)."""
    return np.concatenate([row_block(tensor, row, row + 1) for row in rows])
