"""The architectures, a file each and a row here; graph.py explains what a file tells."""

from __future__ import annotations

from bitparity.architectures.bitnet import BITNET
from bitparity.architectures.bitnet_b1_58 import BITNET_25, BITNET_B1_58
from bitparity.architectures.graph import Architecture
from bitparity.architectures.llama import LLAMA
from bitparity.errors import BadInput

ARCHITECTURES: dict[str, Architecture] = {a.name: a for a in (BITNET, BITNET_25, BITNET_B1_58, LLAMA)}


def architecture_named(name: str) -> Architecture:
    """Raises BadInput for a name that is none of them."""
    if name not in ARCHITECTURES:
        raise BadInput(f"the architecture {name!r} is none of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
