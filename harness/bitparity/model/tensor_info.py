"""Entries of a GGUF file's tensor table, and those that are no tensors of their own.

bitnet.cpp's converter gives the scale of a TL1 or TL2 tensor NAME to the writer as a tensor NAME_scale.  The
writer in bitnet.cpp leaves it out of the table and keeps its bytes, which so become the tail of NAME, where
bitnet.cpp looks for the scale; any other writer lists it, at the same place.  Here it is the tail in both.
Source: bitnet.cpp utils/convert-hf-to-gguf-bitnet.py; gguf_writer.py of its llama.cpp, write_ti_data_to_file.
"""

from __future__ import annotations

from math import prod

from gguf import ReaderField

from bitparity.errors import BadInput
from bitparity.formats import format_of_type
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.types import Tensor

_MAX_AXES = 4  # GGML_MAX_DIMS
_SUFFIX = "_scale"


class TensorInfo:
    """name, type, shape (outermost axis first; empty for a single value) and start (from byte 0)."""

    def __init__(self, field: ReaderField, data_start: int) -> None:
        _, _, _, dims, ggml_type, offset = field.parts
        self.name = field.name
        self.shape = tuple(int(n) for n in reversed(dims))
        self.ggml_type = int(ggml_type[0])
        self.start = data_start + int(offset[0])
        if len(self.shape) > _MAX_AXES or 0 in self.shape:
            raise BadInput(f"tensor {self.name} has the shape {list(self.shape)}; download it again")

    @property
    def weight_name(self) -> str:
        """Of the tensor that it would be the scale of."""
        return self.name.removesuffix(_SUFFIX)


def without_tail_scales(infos: list[TensorInfo]) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Tensors, and the scales of TL1 and TL2 tensors that were listed as tensors."""
    tiled = {info.name for info in infos if isinstance(format_of_type(info.ggml_type), TableLookupFormat)}
    is_scale = [info.name.endswith(_SUFFIX) and info.weight_name in tiled for info in infos]
    pairs = list(zip(infos, is_scale, strict=True))
    return [info for info, scale in pairs if not scale], [info for info, scale in pairs if scale]


def require_in_tail(scale: TensorInfo, tensor: Tensor) -> None:
    """BadInput for a scale that is not where bitnet.cpp reads it."""
    start = tensor.offset + tensor.data.size - tensor.weight_format.tail_bytes
    found = format_of_type(scale.ggml_type)
    if prod(scale.shape) != 1 or found is None or found.name != "F32" or scale.start != start:
        raise BadInput(
            f"tensor {scale.name} is no single float32 at byte {start:,}, where bitnet.cpp reads the scale "
            f"of {tensor.name}; convert it again"
        )
