"""What the name of an engine means: one of an installed package, or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bitparity.compare.recording import RecordedEngine
from bitparity.engine import Engine
from bitparity.engines.library import LibraryEngine, names_library
from bitparity.registry import configure, get_engine

# Which names are meant, and what makes the engine; what is none of these is announced by a package.
_WAYS: tuple[tuple[Callable[[str], bool], Callable[[str], Engine]], ...] = (
    (lambda name: name.endswith((".npy", ".npz")), lambda name: RecordedEngine(Path(name))),
    (names_library, lambda name: LibraryEngine(Path(name))),
)


def open_engine(name: str, **chosen: str | None) -> Engine:
    """The engine of that name: announced by a package, a shared library, or a recording
    (.npz) or logits (.npy, .npz).

    chosen  what else was said of it, as `registry.configure` takes it

    Raises BadInput when there is none, EngineUnavailable when it cannot load.
    """
    make = next((make for is_meant, make in _WAYS if is_meant(name)), get_engine)
    return configure(make(name), **chosen)
