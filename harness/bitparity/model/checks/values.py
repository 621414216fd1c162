"""Values that no sound model holds: scales and weights that are not finite, codes that no packer writes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bitparity.formats import FORMATS
from bitparity.formats.base import Bytes, Scales
from bitparity.formats.blocks import FloatFormat
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.checks.finding import Finding, Severity
from bitparity.model.row_reader import RowReader, row_ranges
from bitparity.model.types import Model, Tensor


def not_finite(model: Model) -> Iterator[Finding]:
    """Tensors with a scale or a weight that is NaN or infinite."""
    for tensor in _readable(model):
        count, place = 0, ""
        for first, values in _floats_of(tensor):
            wrong = ~np.isfinite(values)
            if wrong.any() and not count:
                row, col = (int(i) for i in np.argwhere(wrong)[0])
                place = f"{_place(tensor, first + row, col, values.shape[1])} is {values[row, col]}"
            count += int(wrong.sum())
        if count:
            more = f", and {count - 1:,} more are not finite" if count > 1 else ""
            yield Finding(
                Severity.STOP,
                tensor.name,
                f"tensor {tensor.name} ({tensor.format}): the {place}{more}; convert the model again",
            )


def illegal_codes(model: Model) -> Iterator[Finding]:
    """Tensors with codes that no packer writes, which engines read in different ways."""
    for tensor in _readable(model):
        weight_format = tensor.weight_format
        if isinstance(weight_format, FloatFormat | TableLookupFormat):
            continue
        wrong = sum(
            int(np.count_nonzero(weight_format.with_legal_codes(packed, rows, tensor.shape[-1]) != packed))
            for _, rows, packed in _row_blocks(tensor)
        )
        if wrong:
            yield Finding(
                Severity.STOP,
                tensor.name,
                f"tensor {tensor.name} ({tensor.format}): {wrong:,} bytes hold codes that no packer writes "
                "and that engines read in different ways; `bitparity inspect --layout` tells other layouts",
            )


def zero_vectors(model: Model) -> Iterator[Finding]:
    """Norm weights that are all zero, behind which nothing of the input is left."""
    for tensor in _readable(model):
        if len(tensor.shape) == 1 and not tensor.values().any():
            yield Finding(
                Severity.STOP,
                tensor.name,
                f"tensor {tensor.name}: all {tensor.shape[0]} weights are zero; convert the model again",
            )


def _row_blocks(tensor: Tensor) -> Iterator[tuple[int, int, Bytes]]:
    """First row, number of rows and packed bytes, so many rows at a time that memory stays bounded."""
    reader = RowReader(tensor)
    if reader.is_read_whole:
        yield 0, tensor.shape[0], tensor.data
        return
    for first, last in row_ranges(tensor.shape):
        yield first, last - first, reader.packed(first, last)
        reader.forget(first, last)


def _readable(model: Model) -> Iterator[Tensor]:
    return (tensor for tensor in model.tensors.values() if tensor.format in FORMATS)


def _floats_of(tensor: Tensor) -> Iterator[tuple[int, Scales]]:
    """What a format keeps as floating-point numbers: first row, and one a weight or a block, (rows, n)."""
    weight_format, cols = tensor.weight_format, tensor.shape[-1]
    if weight_format.tail_bytes:
        yield 0, weight_format.scales_in(tensor.data, *tensor.shape).reshape(1, 1)
        return
    for first, rows, packed in _row_blocks(tensor):
        if weight_format.name == "F16":  # embeddings have so many that NumPy's isfinite would be seen
            if _has_infinity_or_nan(packed):
                yield first, packed.view("<f2").reshape(rows, cols)
        elif isinstance(weight_format, FloatFormat):
            yield first, weight_format.unpack(packed, rows, cols)
        else:
            yield first, weight_format.scales_in(packed, rows, cols).reshape(rows, -1)


def _has_infinity_or_nan(halves: Bytes) -> bool:
    """They are the largest F16 numbers of either sign, as integers: from 0x7C00 on, and from 0xFC00 on."""
    positive = int(halves.view("<i2").max(initial=0)) >= 0x7C00
    return positive or int(halves.view("<u2").max(initial=0)) >= 0xFC00


def _place(tensor: Tensor, row: int, col: int, columns: int) -> str:
    """Where the value lies that is the col-th of so many in its row, in words."""
    if tensor.weight_format.tail_bytes:
        return "scale of the tensor"
    if len(tensor.shape) == 1:
        return f"weight {col}"
    if isinstance(tensor.weight_format, FloatFormat):
        return f"weight at row {row}, column {col}"
    width = tensor.shape[-1] // columns
    return f"scale of row {row}, columns {col * width} to {(col + 1) * width - 1}"
