"""What a build of a llama.cpp is, told from the build itself and not from the name of the engine.

bitnet.cpp pinned an old llama.cpp until July 2026 and a rebase on upstream since then: one name, two
generations, with other graphs, other arithmetic, and other tensor types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from bitparity.architectures import ARCHITECTURES
from bitparity.architectures.ggml_nodes import NodeTable
from bitparity.formats import formats_run_by
from bitparity_reference.discover import Library

# What builds of bitnet.cpp with these options run besides, in the shapes that they have kernels for.
_TABLE_LOOKUP = {"BITNET_X86_TL2": "TL2", "BITNET_ARM_TL1": "TL1"}
GENERATIONS: tuple[Literal["bitnet.cpp", "llama.cpp"], ...] = ("bitnet.cpp", "llama.cpp")


@dataclass(frozen=True)
class BuildFacts:
    """generation      whose graph and arithmetic it has: bitnet.cpp's pinned llama.cpp of 2024, or upstream's
    architectures   of ours that libllama knows by name
    weight_formats  of ours that its ggml has types for, and that run in either generation
    tensor_types    all of its ggml's, by number
    """

    generation: Literal["bitnet.cpp", "llama.cpp"]
    architectures: tuple[str, ...]
    weight_formats: frozenset[str]
    tensor_types: Mapping[int, str]

    @property
    def graphs(self) -> dict[str, NodeTable]:
        """Architecture -> which node is which stage; empty where nobody has read that graph off yet."""
        return {name: ARCHITECTURES[name].nodes.get(self.generation, {}) for name in self.architectures}

    @property
    def described(self) -> dict[str, str]:
        """For `doctor`."""
        header = {
            "bitnet.cpp": "older llama.h, as until July 2026",
            "llama.cpp": "newer llama.h, as upstream",
        }
        return {
            "generation": header[self.generation],
            "architectures": ", ".join(self.architectures) or "none that is known here",
            "weight formats": ", ".join(sorted(self.weight_formats)),
        }


def facts_of(library: Library) -> BuildFacts:
    """Read off the headers, libllama, and the options that it was configured with."""
    headers = [folder / name for folder in library.include_dirs for name in ("llama.h", "ggml.h")]
    found = [header for header in headers if header.is_file()]
    files = (library.files[0], *found)
    facts = _read(files, tuple(file.stat().st_mtime_ns for file in files))
    generated = {name for option, name in _TABLE_LOOKUP.items() if library.details.get(option) == "ON"}
    known = generated.intersection(facts.tensor_types.values())
    return replace(facts, weight_formats=facts.weight_formats | known)


@lru_cache(maxsize=8)
def _read(files: tuple[Path, ...], changed: tuple[int, ...]) -> BuildFacts:
    library, text = files[0].read_bytes(), "\n".join(file.read_text(errors="replace") for file in files[1:])
    numbers = re.findall(r"^\s*GGML_TYPE_(\w+)\s*=\s*(\d+)", text, re.MULTILINE)
    types = {int(number): name for name, number in numbers if name != "COUNT"}
    run = frozenset().union(*(formats_run_by(name) for name in GENERATIONS))
    return BuildFacts(
        generation="llama.cpp" if "llama_model_load_from_file" in text else "bitnet.cpp",
        architectures=tuple(name for name in ARCHITECTURES if name.encode() + b"\0" in library),
        weight_formats=run & set(types.values()),
        tensor_types=types,
    )
