"""Tensor type ids of GGUF files: their names and how many bytes a tensor of each takes.

bitparity.formats tells them for its formats, the `gguf` package for all others.  bitnet.cpp added
36 (I2_S), 38 (TL1) and 39 (TL2), and upstream gave 39 to MXFP4 later.  Only the room that a tensor has in the
file tells which of the two a type 39 is.
Source: bitnet.cpp 3rdparty/llama.cpp/ggml, ggml.h and ggml_nbytes.
"""

from __future__ import annotations

from math import prod

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import ROWS, get_format
from bitparity.formats.tl2 import TL2

_TL2_OR_MXFP4 = TL2.ggml_type
_STORED = {name: row.format for name, row in ROWS.items() if row.is_stored}
_IDS = {member.name: int(member) for member in GGMLQuantizationType} | {
    name: weight_format.ggml_type for name, weight_format in _STORED.items()
}
_NAMES = {ggml_type: name for name, ggml_type in _IDS.items() if ggml_type != _TL2_OR_MXFP4}


def type_id(name: str) -> int:
    """The id of a tensor type that this module knows by name."""
    return _IDS[name]


def require_storable(name: str) -> None:
    """BadInput for a weight format that a reader would not find under its type id.

    Other layouts of I2_S share its id: a file with them would be read as scrambled weights.
    """
    get_format(name)
    if name not in _STORED:
        raise BadInput(f"the weight format {name!r} has no type of its own in GGUF files")


def tensor_size(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor; ShapeError when its rows are no whole number of blocks."""
    rows, cols = prod(shape[:-1]), shape[-1]
    if name in _STORED:
        return _STORED[name].size_in_file(rows, cols)
    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    if cols % block:
        raise ShapeError(f"{name}: {cols} columns is not a multiple of its block of {block} weights")
    return rows * (cols // block) * block_bytes


def type_name(ggml_type: int, shape: tuple[int, ...], room: int, alignment: int) -> str:
    """The name of a type id.

    room  bytes from the tensor's first to the next tensor's first, or to the end of the file

    Raises BadInput for an id that nobody uses, and for a 39 whose room is neither that of TL2 nor of MXFP4.
    """
    if ggml_type == _TL2_OR_MXFP4:
        return _tl2_or_mxfp4(shape, room, alignment)
    if ggml_type not in _NAMES:
        raise BadInput(f"has the type {ggml_type}, which neither llama.cpp nor bitnet.cpp has")
    return _NAMES[ggml_type]


def _tl2_or_mxfp4(shape: tuple[int, ...], room: int, alignment: int) -> str:
    for name in ("TL2", "MXFP4"):
        try:
            size = tensor_size(name, shape)
        except ShapeError:
            continue
        if room in (size, -(-size // alignment) * alignment):
            return name
    raise BadInput(
        f"has the type 39, but its {room:,} bytes fit neither TL2 of bitnet.cpp nor MXFP4 of llama.cpp"
    )
