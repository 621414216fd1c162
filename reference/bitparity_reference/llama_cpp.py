"""llama.cpp, as the installed llama-cpp-python brings it."""

from __future__ import annotations

from bitparity.formats import formats_run_by
from bitparity_reference.discover import Library, find_llama_cpp
from bitparity_reference.llama_engine import LlamaEngine
from bitparity_reference.nodes import graphs_of


class LlamaCppEngine(LlamaEngine):
    name = "llama.cpp"
    kernels = "ggml-cpu"
    graphs = graphs_of(name)
    weight_formats = formats_run_by(name)

    def find(self) -> Library:
        return find_llama_cpp()
