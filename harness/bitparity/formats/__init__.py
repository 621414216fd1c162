"""Weight formats: a table of contents, one file a format.

A new format is a file with a class that has the methods of base.WeightFormat (or base.TernaryFormat) and one
line here.
"""

from __future__ import annotations

from typing import TypeGuard

from bitparity.errors import BadInput
from bitparity.formats.base import TernaryFormat, WeightFormat
from bitparity.formats.bf16 import BF16
from bitparity.formats.f16 import F16
from bitparity.formats.f32 import F32
from bitparity.formats.i2_s import I2_S
from bitparity.formats.i2_s_arm import I2_S_ARM
from bitparity.formats.i2_s_x4 import I2_S_X4
from bitparity.formats.i8_s import I8_S
from bitparity.formats.q8_0 import Q8_0
from bitparity.formats.q8_k import Q8_K
from bitparity.formats.qk256 import QK256
from bitparity.formats.table_lookup import Tilings
from bitparity.formats.tl1 import TL1, TL1Format
from bitparity.formats.tl2 import TL2, TL2Format
from bitparity.formats.tq1_0 import TQ1_0
from bitparity.formats.tq2_0 import TQ2_0

FORMATS: dict[str, WeightFormat] = {
    "F32": F32,
    "F16": F16,
    "BF16": BF16,
    "I2_S": I2_S,
    "TQ1_0": TQ1_0,
    "TQ2_0": TQ2_0,
    "TL1": TL1,
    "TL2": TL2,
    "Q8_0": Q8_0,
    "Q8_K": Q8_K,
    "I8_S": I8_S,
    "I2_S_ARM": I2_S_ARM,
    "I2_S_X4": I2_S_X4,
    "QK256": QK256,
}
OTHER_READINGS = (
    "I2_S_ARM",
    "I2_S_X4",
    "QK256",
)  # of the bytes of an I2_S tensor: asked for by name, never guessed
_TILED = {"TL1": TL1Format, "TL2": TL2Format}
_BY_TYPE = {f.ggml_type: f for name, f in FORMATS.items() if name not in OTHER_READINGS}


def get_format(name: str) -> WeightFormat:
    """The format of that name; BadInput when there is none."""
    if name not in FORMATS:
        raise BadInput(f"no weight format is named {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def with_tilings(name: str, tilings: Tilings | None) -> WeightFormat:
    """The format of that name, for other kernels than bitnet.cpp's presets where it is TL1 or TL2."""
    if tilings is None or name not in _TILED:
        return get_format(name)
    return _TILED[name](tilings)


def format_of_type(ggml_type: int) -> WeightFormat | None:
    """The format that has this type id in a GGUF file, or None."""
    return _BY_TYPE.get(ggml_type)


def is_ternary(weight_format: WeightFormat) -> TypeGuard[TernaryFormat]:
    """Whether the format packs codes and scales without loss."""
    return hasattr(weight_format, "pack_codes")
