"""What the references that are found here call a tensor type: entry points of `bitparity.tensor_types`.

The names are read off the headers of their builds; asked for a number that it does not have, ggml itself
reads beyond its table.
"""

from __future__ import annotations

from collections.abc import Callable

from bitparity.errors import EngineUnavailable
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.build_facts import facts_of
from bitparity_reference.discover import Library
from bitparity_reference.llama_cpp import LlamaCppEngine


def bitnet_cpp(ggml_type: int) -> str | None:
    """The name of a type in the tree that BITNET_CPP_DIR names; None if it has none, or without a tree."""
    return _name(BitnetCppEngine().find, ggml_type)


def llama_cpp(ggml_type: int) -> str | None:
    """The name of a type in the installed llama.cpp; None if it has none, or without one."""
    return _name(LlamaCppEngine().find, ggml_type)


def _name(find: Callable[[], Library], ggml_type: int) -> str | None:
    try:
        return facts_of(find()).tensor_types.get(ggml_type)
    except EngineUnavailable:
        return None
