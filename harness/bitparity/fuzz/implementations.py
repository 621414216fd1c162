"""Implementations under test, found at run time, each by name.

An implementation is a table (operation, format) -> function.  The operations and their functions are:

| operation | function | meaning |
|---|---|---|
| pack | (values (rows, cols) float32) -> uint8 | quantize by the format's rule |
| unpack | (packed uint8, rows, cols) -> float32 (rows, cols) | the values that the bytes stand for |
| multiply | (packed, rows, cols, x (tokens, cols) int8) -> int64 (tokens, rows) | sums of code x activation |
| session | () -> sessions.SessionsUnderTest | engines only |

For `multiply` the packed weights carry the scale 1, and codes count as -1, 0, +1.
Every function also takes `placement=`: where its buffers lie and with what its output is poisoned (see
memory.py); an implementation that manages its own memory ignores it.

A stranger adds one by a function that returns a list of `Implementation`, announced in its own package:

    [project.entry-points."bitparity.implementations"]
    my-kernels = "my_package.fuzzing:implementations"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput, EngineUnavailable
from bitparity.settings import Settings

ENTRY_POINT_GROUP = "bitparity.implementations"
Operation = Literal["pack", "unpack", "multiply", "session"]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Implementation:
    """name       "numpy", "native/avx2", "bitnet.cpp", ...
    functions     (operation, format) -> function
    in_process    it runs in this process, so that calls from several threads really run at once
    writes_memory it writes into buffers that it is given, so guards and poison mean something
    refuses       it promises to refuse NaN, infinity and shapes that do not fit
    compiler      what built it, in its own words; empty for Python
    isa           instruction sets that it was built for, by ggml's names: "avx2", "avx512", "neon", ...
    """

    name: str
    functions: Mapping[tuple[Operation, str], Function]
    in_process: bool = True
    writes_memory: bool = False
    refuses: bool = False
    compiler: str = ""
    isa: frozenset[str] = frozenset()
    close: Callable[[], None] = field(default=lambda: None)

    def has(self, operation: Operation, weight_format: str) -> bool:
        return (operation, weight_format) in self.functions

    def run(self, operation: Operation, weight_format: str, *arguments: Any, **options: Any) -> Any:
        return self.functions[operation, weight_format](*arguments, **options)


def without_placement(function: Callable[..., NDArray[Any]]) -> Function:
    """A function of NumPy, which manages its own memory and warns of nothing."""

    def run(*arguments: Any, placement: object = None) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return run


Finder = Callable[[Settings], list[Implementation]]


def find_implementations(settings: Settings) -> tuple[list[Implementation], list[str]]:
    """All implementations that any installed package announces and that run here, and why others do not."""
    found: list[Implementation] = []
    missing: list[str] = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        try:
            finder: Finder = entry.load()
            found += finder(settings)
        except (EngineUnavailable, ImportError) as error:
            missing.append(f"{entry.name}: {error}")
    return found, missing


def pick(implementations: list[Implementation], name: str) -> Implementation:
    """The one of that name; BadInput when it was not found."""
    for implementation in implementations:
        if implementation.name == name:
            return implementation
    known = ", ".join(i.name for i in implementations)
    raise BadInput(f"no implementation is named {name!r}; found here: {known}")
