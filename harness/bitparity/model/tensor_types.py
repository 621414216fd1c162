"""Tensor type ids of GGUF files: their names and how many bytes a tensor of each takes.

Upstream's ids come from the `gguf` package; bitnet.cpp added 36 (I2_S), 38 (TL1) and 39 (TL2), and upstream
gave 39 to MXFP4 later.  Which of the two a type 39 is, only the room that the tensor has can tell.
Source: bitnet.cpp 3rdparty/llama.cpp/ggml, ggml.h and ggml_nbytes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import format_of_type, get_format
from bitparity.formats.i2_s import I2_S

_TL2_OR_MXFP4 = 39
_TAIL_BYTES = 32


def _tl1_size(rows: int, cols: int) -> int:
    return rows * cols // 4 + _TAIL_BYTES


def _tl2_size(rows: int, cols: int) -> int:
    """All but 256 columns as triples of 5 bits, those as pairs of 4, rounded up to 32 bytes, and the tail."""
    if cols < 256:
        raise ShapeError(f"TL2: {cols} columns are fewer than the 256 that it packs as pairs")
    packed = (cols - 256) * rows // 3 * 5 // 8 + 256 * rows // 2 * 4 // 8
    return -(-packed // 32) * 32 + _TAIL_BYTES


_PRIVATE: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "I2_S": (I2_S.ggml_type, I2_S.size),
    "TL1": (38, _tl1_size),
    "TL2": (_TL2_OR_MXFP4, _tl2_size),
}
_IDS = {member.name: int(member) for member in GGMLQuantizationType} | {
    name: ggml_type for name, (ggml_type, _) in _PRIVATE.items()
}
_NAMES = {ggml_type: name for name, ggml_type in _IDS.items() if ggml_type != _TL2_OR_MXFP4}


def type_id(name: str) -> int:
    """The id of a tensor type that this module knows by name."""
    return _IDS[name]


def require_storable(name: str) -> None:
    """BadInput for a weight format that a reader would not find under its type id.

    Other layouts of I2_S share its id: a file with them would be read as scrambled weights.
    """
    weight_format = get_format(name)
    if name not in _IDS or format_of_type(weight_format.ggml_type) is not weight_format:
        raise BadInput(f"the weight format {name!r} has no type of its own in GGUF files")


def tensor_size(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor; ShapeError when its rows are no whole number of blocks."""
    rows, cols = prod(shape[:-1]), shape[-1]
    if name in _PRIVATE:
        return _PRIVATE[name][1](rows, cols)
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
