"""A checkpoint written as a GGUF file: the codes and scales that it has, with what engines read besides.

| in the checkpoint | in the file |
|---|---|
| ternary weights | the same codes; the scale rounded to the precision in which the format keeps scales |
| dense weights | the same values, or refused |
| embedding and head | F16 where they are BF16 or F16, or the format that is asked for |
| norms | F32, which engines ask for |

F16 has no number between 2^-25 and 0: smaller values of BF16 become 0, and those below 2^-14 lose digits, so
that an F16 value may differ from the checkpoint's by 2^-25.  A format in blocks, such as Q6_K, rounds the
embedding by its own rule, as llama.cpp's quantizer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bitparity.errors import BadInput
from bitparity.files import refuse_to_overwrite
from bitparity.formats import DENSE, FLOATS, ROWS, get_format, is_ternary, with_tilings
from bitparity.formats.base import Bytes, WeightFormat
from bitparity.formats.blocks import FloatFormat
from bitparity.formats.codes import CODES
from bitparity.formats.table_lookup import Tilings
from bitparity.model.checkpoint import checkpoint_vocabulary, open_checkpoint
from bitparity.model.checkpoint.config import FILE, read_config
from bitparity.model.convert import repacked
from bitparity.model.gguf_shards import files_of
from bitparity.model.row_reader import RowReader
from bitparity.model.tensor_types import require_storable
from bitparity.model.types import Model, Tensor
from bitparity.model.verify_tensor import SMALLEST_F16
from bitparity.model.writer import Progress, TensorPlan, field_of, write_gguf

_ROWS = 2048  # of the vocabulary, converted at a time
_HEADS = {"BF16": "F16", "F16": "F16", "F32": "F32"}  # by how the checkpoint stores it


@dataclass(frozen=True)
class Conversion:
    """What a conversion had to say, a sentence each."""

    notes: tuple[str, ...]


def convert_checkpoint(
    folder: Path,
    target: Path,
    weight_format: str,
    *,
    head_format: str | None = None,
    tilings: Tilings | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Write the checkpoint in `folder` to `target`, a GGUF file, its projections in weight_format.

    head_format  of token_embd and output; None for F16 where they are BF16 or F16, and F32 where they are F32
    tilings      of the kernels that TL1 and TL2 are packed for; bitnet.cpp's presets when None
    force        go on in spite of keys of config.json that are not known

    One tensor at a time is in memory.  Raises BadInput, in a sentence that begins with the folder's name, for
    what is not understood, for a weight that the format cannot hold, with its tensor, row and column, and for
    a target that is a file of the checkpoint.
    """
    refuse_to_overwrite(target, files_of(folder))
    try:
        return _convert(folder, target, weight_format, head_format, tilings, force, progress)
    except BadInput as error:
        raise type(error)(f"{folder.name}: {error}") from error


def _convert(
    folder: Path,
    target: Path,
    weight_format: str,
    head_format: str | None,
    tilings: Tilings | None,
    force: bool,
    progress: Progress | None,
) -> Conversion:
    new_format = with_tilings(weight_format, tilings)
    require_storable(weight_format)
    if head_format not in (None, *DENSE):
        raise BadInput(f"the head format {head_format!r} is none of {', '.join(DENSE)}")
    model = open_checkpoint(folder)
    _refuse_unknown(model, force)
    fields = {**model.metadata, "general.file_type": ROWS[weight_format].file_type}
    plans = [_plan(model, tensor, new_format, head_format) for tensor in model.tensors.values()]
    write_gguf(target, {key: field_of(value) for key, value in fields.items()}, plans, progress=progress)
    return Conversion((*model.notes, *_rounded(new_format)))


def _refuse_unknown(model: Model, force: bool) -> None:
    """BadInput for what a file of this checkpoint would lack, or might lack."""
    config = read_config(model.path)
    if "tokenizer.ggml.model" not in model.metadata:
        checkpoint_vocabulary(model.path, config)  # says what is wrong with it
    if config.unknown and not force:
        raise BadInput(
            f"{FILE} has {', '.join(config.unknown)}, and whether that changes the numbers is not known; "
            "--force goes on"
        )


def _plan(model: Model, tensor: Tensor, new_format: WeightFormat, head_format: str | None) -> TensorPlan:
    if len(tensor.shape) == 1:
        return TensorPlan(tensor.name, tensor.shape, tensor.format, lambda: [tensor.data])
    is_vocabulary = tensor.name in (model.weights.token_embd.name, model.weights.head.name)
    wanted = get_format(head_format or _HEADS[tensor.format]) if is_vocabulary else new_format
    wanted.size(*tensor.shape)  # raises before anything is written if the shape cannot be packed
    if tensor.format == CODES.name:
        pieces = partial(_ternary, tensor, wanted)
    else:
        pieces = partial(_dense, tensor, wanted, may_round=is_vocabulary and wanted.name not in FLOATS)
    return TensorPlan(tensor.name, tensor.shape, wanted.name, _named(tensor, pieces))


def _named(tensor: Tensor, pieces: Callable[[], Iterator[Bytes]]) -> Callable[[], Iterator[Bytes]]:
    def chunks() -> Iterator[Bytes]:
        try:
            yield from pieces()
        except BadInput as error:
            raise type(error)(f"tensor {tensor.name}: {error}") from error

    return chunks


def _ternary(tensor: Tensor, wanted: WeightFormat) -> Iterator[Bytes]:
    codes, scales = CODES.unpack_codes(tensor.data, *tensor.shape)
    scale = float(scales[0, 0])
    kept = _kept_scale(wanted, scale)
    if not 0 < kept < np.inf and codes.any():
        raise BadInput(f"{wanted.name} has no scale near {scale:g}")
    return repacked(tensor.holding(CODES.pack_codes(codes, kept)), wanted, tensor.shape[0])


def _kept_scale(wanted: WeightFormat, scale: float) -> float:
    """The scale as the format keeps it, or as it keeps the weights themselves."""
    one = np.array([[scale]], dtype=np.float32)
    if isinstance(wanted, FloatFormat):
        return float(wanted.unpack(wanted.pack(one), 1, 1)[0, 0])
    with np.errstate(over="ignore"):
        return float(np.float16(scale)) if is_ternary(wanted) and wanted.scale_format == "F16" else scale


def _rounded(wanted: WeightFormat) -> list[str]:
    if is_ternary(wanted) and wanted.scale_format == "F16":
        return [f"{wanted.name} keeps scales as F16: each is the nearest to the checkpoint's"]
    if wanted.name in ("F16", "BF16"):
        return [f"{wanted.name} keeps weights rounded: each scale is the nearest to the checkpoint's"]
    return []


def _dense(tensor: Tensor, wanted: WeightFormat, *, may_round: bool) -> Iterator[Bytes]:
    reader = RowReader(tensor)
    for first in range(0, tensor.shape[0], _ROWS):
        last = min(first + _ROWS, tensor.shape[0])
        values = reader.values(first, last)
        packed = wanted.pack(values)
        if not may_round:
            nearest = wanted.unpack(packed, *values.shape)
            is_other = ~(np.abs(nearest - values) <= (SMALLEST_F16 if wanted.name == "F16" else 0.0))
            if is_other.any():
                row, col = np.argwhere(is_other)[0]
                raise BadInput(
                    f"{wanted.name} cannot hold the weight {values[row, col]:.9g} "
                    f"at row {first + row}, column {col}"
                )
        yield packed
        reader.forget(first, last)
