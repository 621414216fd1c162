"""bitnet.cpp, in the tree that BITNET_CPP_DIR names."""

from __future__ import annotations

from bitparity.formats import formats_run_by
from bitparity.settings import read_settings
from bitparity_reference.discover import Library, find_bitnet_cpp
from bitparity_reference.llama_engine import LlamaEngine
from bitparity_reference.nodes import graphs_of


class BitnetCppEngine(LlamaEngine):
    name = "bitnet.cpp"
    kernels = "ggml-bitnet"
    graphs = graphs_of(name)
    weight_formats = formats_run_by(name)

    def find(self) -> Library:
        return find_bitnet_cpp(read_settings().bitnet_cpp_dir)
