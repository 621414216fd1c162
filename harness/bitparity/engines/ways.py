"""What the name of an engine means: one of an installed package, a program, a server, or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bitparity.compare.recording import RecordedEngine
from bitparity.engine import Engine, NamesStages, TimeLimited
from bitparity.engines import dump
from bitparity.engines.library import LibraryEngine, names_library
from bitparity.engines.program import PREFIX, ProgramEngine
from bitparity.engines.server import ServerEngine, names_server
from bitparity.errors import BadInput
from bitparity.registry import configure, get_engine
from bitparity.stage_map import read_stage_map

# Which names are meant, and what makes the engine; what is none of these is announced by a package.
_WAYS: tuple[tuple[Callable[[str], bool], Callable[[str], Engine]], ...] = (
    (lambda name: name.startswith(PREFIX), ProgramEngine),
    (names_server, ServerEngine),
    (lambda name: name.startswith(dump.PREFIX), dump.DumpEngine),
    (lambda name: name.endswith((".npy", ".npz")), lambda name: RecordedEngine(Path(name))),
    (names_library, lambda name: LibraryEngine(Path(name))),
)


def open_engine(
    name: str, *, time_limit: float | None = None, stage_map: Path | None = None, **chosen: str | None
) -> Engine:
    """The engine of that name.

    It is one that a package announces, a program (exec:./engine --flags), a server (http://127.0.0.1:8080), a
    shared library, a recording or logits (.npz, .npy), or a folder of dumped stages (dump:folder).

    time_limit  seconds after which an engine that gives no sign of life counts as hung; None is its own limit
    stage_map   file that leads from the engine's names of stages to bitparity's (stage_map.py)
    chosen      what else was said of it, as `registry.configure` takes it

    Raises BadInput when there is none, or it has no names of its own for stages, and EngineUnavailable when
    it cannot load.
    """
    make = next((make for is_meant, make in _WAYS if is_meant(name)), get_engine)
    return configure(_mapped(limited(make(name), time_limit), stage_map), **chosen)


def limited(engine: Engine, time_limit: float | None) -> Engine:
    """The engine with this time limit, where it has one: an engine of our own runs in this process."""
    if time_limit is None or not isinstance(engine, TimeLimited):
        return engine
    return engine.with_time_limit(time_limit)


def _mapped(engine: Engine, stage_map: Path | None) -> Engine:
    if stage_map is None:
        return engine
    if not isinstance(engine, NamesStages):
        raise BadInput(f"{engine.name} has bitparity's names for stages; leave out --stage-map {stage_map}")
    return engine.with_stage_map(read_stage_map(stage_map))
