"""The options that set up the engines of a command, and the engine that is started before all else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from bitparity.choose import choose_engine
from bitparity.engine import Engine, OpensAside
from bitparity.guard import call


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


def start_engine(name: str, model: Path | None) -> Engine:
    """The engine of that name, whose process, if it has one, loads the model while the command goes on."""
    engine = choose_engine(name)
    if isinstance(engine, OpensAside):
        call(engine.name, engine.start, model)
    return engine
