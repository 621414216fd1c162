"""What the name of an engine means: one of an installed package, a program, a server, or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bitparity.compare.recording import RecordedEngine
from bitparity.engine import Engine, TimeLimited
from bitparity.engines.library import LibraryEngine, names_library
from bitparity.engines.program import PREFIX, ProgramEngine
from bitparity.engines.server import ServerEngine, names_server
from bitparity.registry import configure, get_engine

# Which names are meant, and what makes the engine; what is none of these is announced by a package.
_WAYS: tuple[tuple[Callable[[str], bool], Callable[[str], Engine]], ...] = (
    (lambda name: name.startswith(PREFIX), ProgramEngine),
    (names_server, ServerEngine),
    (lambda name: name.endswith((".npy", ".npz")), lambda name: RecordedEngine(Path(name))),
    (names_library, lambda name: LibraryEngine(Path(name))),
)


def open_engine(name: str, *, time_limit: float | None = None, **chosen: str | None) -> Engine:
    """The engine of that name.

    It is one that a package announces, a program (exec:./engine --flags), a server (http://127.0.0.1:8080), a
    shared library, or a recording or logits (.npz, .npy).

    time_limit  seconds after which an engine that gives no sign of life counts as hung; None is its own limit
    chosen      what else was said of it, as `registry.configure` takes it

    Raises BadInput when there is none, EngineUnavailable when it cannot load.
    """
    make = next((make for is_meant, make in _WAYS if is_meant(name)), get_engine)
    return configure(limited(make(name), time_limit), **chosen)


def limited(engine: Engine, time_limit: float | None) -> Engine:
    """The engine with this time limit, where it has one: an engine of our own runs in this process."""
    if time_limit is None or not isinstance(engine, TimeLimited):
        return engine
    return engine.with_time_limit(time_limit)
