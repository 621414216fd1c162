"""llama.cpp, as the installed llama-cpp-python brings it."""

from __future__ import annotations

from bitparity_reference.discover import Library, find_llama_cpp
from bitparity_reference.llama_engine import LlamaEngine


class LlamaCppEngine(LlamaEngine):
    name = "llama.cpp"

    def find(self) -> Library:
        return find_llama_cpp()
