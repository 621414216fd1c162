"""Convert a model to another weight format, exactly or not at all.

| from | to | how |
|---|---|---|
| ternary, one scale | ternary | codes and scale are packed again |
| ternary, a scale a block | ternary | by value, which another format of the same blocks holds |
| ternary | a float format | by value: refused when the format rounds the scale |
| a float format | ternary | refused unless every weight is 0 or plus or minus one and the same scale |

Only projections are converted, and the embedding and the head when asked; all else is copied as it lies in
the file.  Nothing is rounded: a format that keeps scales as F16 needs one that is an F16 value.  A head
format in blocks, such as Q6_K, is the exception: it rounds by its own rule, as llama.cpp's quantizer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bitparity.errors import BadInput
from bitparity.files import refuse_to_overwrite
from bitparity.formats import FLOATS, OF_HEADS, ROWS, get_format, is_ternary, with_tilings
from bitparity.formats.base import Bytes, Codes, Floats, WeightFormat
from bitparity.formats.rules import exact_codes
from bitparity.formats.table_lookup import Tilings
from bitparity.model import open_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.rows import row_block
from bitparity.model.tensor_types import require_storable
from bitparity.model.types import Model, Tensor
from bitparity.model.writer import Progress, TensorPlan, copied, uint32_field, write_gguf

_ROWS = 2048  # of the vocabulary, converted at a time


def convert(
    source: Path,
    target: Path,
    weight_format: str,
    *,
    head_format: str | None = None,
    tilings: Tilings | None = None,
    progress: Progress | None = None,
) -> None:
    """Write `source` to `target`, its projections in weight_format; metadata stays, except general.file_type.

    head_format  of token_embd and output; as they are when None
    tilings      of the kernels that TL1 and TL2 are packed for; bitnet.cpp's presets when None

    Raises BadInput that names the tensor, and the first row and column that the format cannot hold, and for a
    target that is the source.
    """
    refuse_to_overwrite(target, [source])
    if source.is_dir():
        raise BadInput(f"{source}: is a folder; `bitparity convert` makes a GGUF file of a checkpoint")
    model, file = open_model(source, tilings=tilings), GgufFile(source)
    new_format = with_tilings(weight_format, tilings)
    new_head = get_format(head_format) if head_format else None
    require_storable(weight_format)
    if head_format not in (None, *OF_HEADS):
        raise BadInput(f"the head format {head_format!r} is none of {', '.join(OF_HEADS)}")
    fields = {key: file.raw_field(key) for key in file.metadata}
    fields["general.file_type"] = uint32_field(ROWS[weight_format].file_type)
    plans = [_plan(model, tensor, new_format, new_head) for tensor in model.tensors.values()]
    write_gguf(target, fields, plans, alignment=file.alignment, progress=progress)


def _plan(
    model: Model, tensor: Tensor, new_format: WeightFormat, new_head: WeightFormat | None
) -> TensorPlan:
    is_vocabulary = tensor.name in (model.weights.token_embd.name, model.weights.head.name)
    wanted = new_head if is_vocabulary else new_format if len(tensor.shape) == 2 else None
    if wanted is None or wanted.name == tensor.format:
        return copied(tensor)
    step = _ROWS if is_vocabulary else tensor.shape[0]
    may_round = is_vocabulary and wanted.name not in FLOATS
    return TensorPlan(tensor.name, tensor.shape, wanted.name, _named(model, tensor, wanted, step, may_round))


def _named(
    model: Model, tensor: Tensor, wanted: WeightFormat, step: int, may_round: bool
) -> Callable[[], Iterator[Bytes]]:
    def chunks() -> Iterator[Bytes]:
        try:
            yield from repacked(tensor, wanted, step, is_exact=not may_round)
        except BadInput as error:
            raise type(error)(f"{model.path.name}: tensor {tensor.name}: {error}") from error

    return chunks


def repacked(tensor: Tensor, wanted: WeightFormat, step: int, *, is_exact: bool = True) -> Iterator[Bytes]:
    """A matrix in another format, by `step` rows; BadInput for the first weight that it cannot hold.

    is_exact  whether a format that rounds is refused, as it is here
    """
    if is_ternary(wanted):
        codes, scale = _codes_and_scale(tensor)
        if scale is not None:
            yield wanted.pack_codes(codes, scale)
            return
    for first in range(0, tensor.shape[0], step):
        values = row_block(tensor, first, min(first + step, tensor.shape[0]))
        yield _packed_exactly(wanted, values, first) if is_exact else wanted.pack(values)


def _codes_and_scale(tensor: Tensor) -> tuple[Codes, float | None]:
    """The codes and the one scale of a tensor; no scale when blocks have several."""
    source, (rows, cols) = tensor.weight_format, tensor.shape
    if not is_ternary(source):
        return exact_codes(source.unpack(tensor.data, rows, cols))
    codes, scales = source.unpack_codes(tensor.data, rows, cols)
    in_use = codes.reshape(*scales.shape, -1).any(axis=-1)  # a block of zeros has a scale without meaning
    used = np.unique(scales[in_use]) if in_use.any() else scales.reshape(-1)[:1]
    return codes, float(used[0]) if len(used) == 1 else None


def _packed_exactly(wanted: WeightFormat, values: Floats, first_row: int) -> Bytes:
    packed = wanted.pack(values)
    is_other = ~(wanted.unpack(packed, *values.shape) == values)
    if is_other.any():
        row, col = np.argwhere(is_other)[0]
        raise BadInput(
            f"{wanted.name} cannot hold the weight {values[row, col]:.9g} "
            f"at row {first_row + row}, column {col}"
        )
    return packed
