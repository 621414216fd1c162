"""bitnet.cpp, in the tree that BITNET_CPP_DIR names."""

from __future__ import annotations

from bitparity.settings import read_settings
from bitparity_reference.discover import Library, find_bitnet_cpp
from bitparity_reference.llama_engine import LlamaEngine


class BitnetCppEngine(LlamaEngine):
    name = "bitnet.cpp"

    def find(self) -> Library:
        return find_bitnet_cpp(read_settings().bitnet_cpp_dir)
