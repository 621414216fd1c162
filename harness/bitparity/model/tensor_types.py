"""Tensor type ids of GGUF files: their names and how many bytes a tensor of each takes.

bitparity.formats tells them for its formats, the `gguf` package for all others.  bitnet.cpp added
36 (I2_S), 38 (TL1) and 39 (TL2), and upstream gave 39 to MXFP4 later; files with 42 (Q2_0) have blocks of 128
weights where upstream has 64.  Only the room that a tensor has in the file tells which of the two it is.
Source: bitnet.cpp 3rdparty/llama.cpp/ggml, ggml.h and ggml_nbytes.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from math import prod

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import FORMATS, ROWS, get_format
from bitparity.formats.q2_0 import Q2_0, Q2_0_G128
from bitparity.formats.tl2 import TL2

# Names that share a type id, and the words for them.
_SHARED = {
    TL2.ggml_type: {"TL2": "TL2 of bitnet.cpp", "MXFP4": "MXFP4 of llama.cpp"},
    Q2_0.ggml_type: {Q2_0.name: "Q2_0 in blocks of 64", Q2_0_G128.name: "in blocks of 128"},
}
_STORED = {name: row.format for name, row in ROWS.items() if row.is_stored}
_IDS = (
    {member.name: int(member) for member in GGMLQuantizationType}
    | {name: weight_format.ggml_type for name, weight_format in _STORED.items()}
    | {Q2_0_G128.name: Q2_0_G128.ggml_type}
)
_NAMES = {ggml_type: name for name, ggml_type in _IDS.items() if ggml_type not in _SHARED}


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
    if name in FORMATS:
        return FORMATS[name].size_in_file(rows, cols)
    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    if cols % block:
        raise ShapeError(f"{name}: {cols} columns is not a multiple of its block of {block} weights")
    return rows * (cols // block) * block_bytes


def type_name(ggml_type: int, shape: tuple[int, ...], room: int, alignment: int) -> str:
    """The name of a type id.

    room  bytes from the tensor's first to the next tensor's first, or to the end of the file

    Raises BadInput for an id that nobody uses, and for a shared one whose room is that of none of its names.
    """
    if ggml_type in _SHARED:
        return _by_room(ggml_type, shape, room, alignment)
    if ggml_type not in _NAMES:
        raise BadInput(f"has the type {ggml_type}, {_who_knows(ggml_type)}")
    return _NAMES[ggml_type]


def _by_room(ggml_type: int, shape: tuple[int, ...], room: int, alignment: int) -> str:
    for name in _SHARED[ggml_type]:
        try:
            size = tensor_size(name, shape)
        except ShapeError:
            continue
        if room in (size, -(-size // alignment) * alignment):
            return name
    words = " nor ".join(_SHARED[ggml_type].values())
    raise BadInput(f"has the type {ggml_type}, but its {room:,} bytes fit neither {words}")


def _who_knows(ggml_type: int) -> str:
    """What the engines that are found here call a type which is not known here."""
    for engine in entry_points(group="bitparity.tensor_types"):
        if name := engine.load()(ggml_type):
            return f"which is {name} to {engine.name}; bitparity does not read it"
    return "which neither bitparity nor any engine found here knows"
