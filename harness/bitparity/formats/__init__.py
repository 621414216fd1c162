"""Weight formats: a table of contents, one file a format.

A new format is a file with a class that has the methods of base.WeightFormat (or base.TernaryFormat) and one line here.
"""

from __future__ import annotations

from typing import TypeGuard

from bitparity.errors import BadInput
from bitparity.formats.base import TernaryFormat, WeightFormat
from bitparity.formats.bf16 import BF16
from bitparity.formats.f16 import F16
from bitparity.formats.f32 import F32
from bitparity.formats.i2_s import I2_S
from bitparity.formats.tq1_0 import TQ1_0
from bitparity.formats.tq2_0 import TQ2_0

FORMATS: dict[str, WeightFormat] = {
    "F32": F32,
    "F16": F16,
    "BF16": BF16,
    "I2_S": I2_S,
    "TQ1_0": TQ1_0,
    "TQ2_0": TQ2_0,
}
_BY_TYPE = {weight_format.ggml_type: weight_format for weight_format in FORMATS.values()}


def get_format(name: str) -> WeightFormat:
    """The format of that name; BadInput when there is none."""
    if name not in FORMATS:
        raise BadInput(f"no weight format is named {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of_type(ggml_type: int) -> WeightFormat | None:
    """The format that has this type id in a GGUF file, or None."""
    return _BY_TYPE.get(ggml_type)


def is_ternary(weight_format: WeightFormat) -> TypeGuard[TernaryFormat]:
    """Whether the format packs codes and scales without loss."""
    return hasattr(weight_format, "pack_codes")
