"""The engine that a command was given by name."""

from __future__ import annotations

from pathlib import Path

from bitparity.engine import Engine, OpensAside
from bitparity.guard import call
from bitparity.registry import get_engine


def choose_engine(name: str) -> Engine:
    """The engine of that name, or one that answers from the recording (.npz) of that name."""
    if not name.endswith(".npz"):
        return get_engine(name)
    from bitparity.compare.recording import RecordedEngine

    return RecordedEngine(Path(name))


def start_engine(name: str, model: Path | None) -> Engine:
    """The engine of that name, whose process, if it has one, loads the model while the command goes on."""
    engine = choose_engine(name)
    if isinstance(engine, OpensAside):
        call(engine.name, engine.start, model)
    return engine
