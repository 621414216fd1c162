"""The architectures, a file each and a row here; graph.py explains what a file tells."""

from __future__ import annotations

from collections.abc import Iterable

from bitparity.architectures.bitnet import BITNET
from bitparity.architectures.bitnet_b1_58 import BITNET_25, BITNET_B1_58
from bitparity.architectures.gemma3 import GEMMA3, GEMMA3_BITNET
from bitparity.architectures.graph import Architecture
from bitparity.architectures.llama import LLAMA
from bitparity.architectures.qwen3 import QWEN3, QWEN3_BITNET
from bitparity.errors import BadInput

_ALL = (BITNET, BITNET_25, BITNET_B1_58, LLAMA, QWEN3, QWEN3_BITNET, GEMMA3, GEMMA3_BITNET)
ARCHITECTURES: dict[str, Architecture] = {a.name: a for a in _ALL}


def architecture_named(name: str) -> Architecture:
    """Raises BadInput for a name that is none of them."""
    if name not in ARCHITECTURES:
        raise BadInput(f"the architecture {name!r} is none of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def architecture_of_file(gguf_name: str, tensors: Iterable[str]) -> Architecture:
    """The architecture of a file with this `general.architecture` and these tensors.

    Of several that share the name it is the smallest that has a part for every tensor of the first block.
    Raises BadInput for a name that is no architecture's.
    """
    named = [a for a in ARCHITECTURES.values() if a.gguf_name == gguf_name]
    if not named:
        known = dict.fromkeys(a.gguf_name for a in ARCHITECTURES.values())
        raise BadInput(f"the architecture {gguf_name!r} is none of {', '.join(known)}")
    first_block = {name for name in tensors if name.startswith("blk.0.")}
    named.sort(key=lambda architecture: len(architecture.weights))
    return next((a for a in named if first_block <= {weight.name(0) for weight in a.weights}), named[0])
