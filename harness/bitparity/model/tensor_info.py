"""Entries of a GGUF file's tensor table, some of which are not tensors of their own.

bitnet.cpp's converter gives the scale of a TL1 or TL2 tensor NAME to the writer as a tensor NAME_scale.  The
writer in bitnet.cpp leaves it out of the table but keeps its bytes, which thus become the tail of NAME, where
bitnet.cpp looks for the scale.  Any other writer lists it, at the same place.  Here it is the tail in both
cases.
Source: bitnet.cpp utils/convert-hf-to-gguf-bitnet.py; gguf_writer.py of its llama.cpp, write_ti_data_to_file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from bitparity.errors import BadInput
from bitparity.formats import format_of_type
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.model.types import Tensor

_SUFFIX = "_scale"


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header of its file lists it.

    shape  outermost axis first, the other way round than in the file; empty for a single value
    start  its first byte, counted from the start of the file
    """

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    start: int

    @property
    def weight_name(self) -> str:
        """The name of the tensor whose scale this would be."""
        return self.name.removesuffix(_SUFFIX)


def without_tail_scales(infos: Sequence[TensorInfo]) -> tuple[list[TensorInfo], list[TensorInfo]]:
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
