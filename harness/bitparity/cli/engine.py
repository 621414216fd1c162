"""The engine that a command was given by name, and the options that set it up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from bitparity.engine import Engine, OpensAside
from bitparity.guard import call
from bitparity.registry import configure, get_engine


def kernels_option(whose: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option --kernels, of the engine or engines that `whose` names in its help."""
    return click.option(
        "--kernels", metavar="SET", help=f"Kernel set of {whose}: portable, avx2, ... or auto for the best."
    )


def arithmetic_option(whose: str, default: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option --arithmetic, of the engine or engines that `whose` names in its help."""
    return click.option(
        "--arithmetic",
        metavar="NAME",
        help=f"Roundings and order of sums of {whose}, say llama.cpp/avx512; {default} if not given.",
    )


def choose_engine(name: str, **chosen: str | None) -> Engine:
    """The engine of that name, or one that answers from the recording (.npz) of that name.

    chosen  what else was said of it, as `registry.configure` takes it
    """
    return configure(_named_engine(name), **chosen)


def start_engine(name: str, model: Path | None) -> Engine:
    """The engine of that name, whose process, if it has one, loads the model while the command goes on."""
    engine = choose_engine(name)
    if isinstance(engine, OpensAside):
        call(engine.name, engine.start, model)
    return engine


def _named_engine(name: str) -> Engine:
    if not name.endswith(".npz"):
        return get_engine(name)
    from bitparity.compare.recording import RecordedEngine

    return RecordedEngine(Path(name))
