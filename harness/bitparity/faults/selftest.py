"""Plant every fault in every engine: a list of cases, each found by the names of its fault and its engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bitparity.blame.engines import BlameReport
from bitparity.engine import Engine
from bitparity.errors import EngineFailed
from bitparity.faults.catalogue import CATALOGUE, Fault
from bitparity.faults.plant import Finding, can_be_planted, find
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.registry import configure_each, get_engine, with_every_kernel_set
from bitparity.sweep.cluster import Lost, run_tasks

if TYPE_CHECKING:
    from distributed import Client

Names = tuple[str, str]  # of a case: its fault, and its engine with the kernel set, native/avx2
TOKENS = [(37 * i + 11) % 256 for i in range(12)]


class Selftest:
    """The cases, on a small model that is written into a folder.

    engines  names of those that get faults
    kernels  one kernel set; None is every one of each engine
    """

    def __init__(self, engines: Sequence[str], kernels: str | None, folder: Path) -> None:
        self.path = folder / "selftest.gguf"
        make_model(self.path, ModelSpec(arch="bitnet-b1.58", n_layer=2, n_ff=512, n_vocab=320))
        model = open_model(self.path)
        self.cases: dict[Names, tuple[Fault, Engine]] = {
            (fault.name, name): (fault, engine)
            for name, engine in _subjects(engines, kernels).items()
            for fault in CATALOGUE
            if can_be_planted(fault, engine, model)
        }

    def find(self, names: Names) -> Finding:
        """Plant a fault and see whether it is found."""
        fault, engine = self.cases[names]
        return find(fault, engine, self.path, TOKENS)


@dataclass(frozen=True)
class CaseTask:
    """A case by its names, for a worker; engines and kernels as in Selftest."""

    engines: tuple[str, ...]
    kernels: str | None
    names: Names


def find_on(client: Client, selftest: Selftest, tasks: Sequence[CaseTask]) -> Iterator[tuple[Names, Finding]]:
    """The finding of every case, from the workers of a cluster, as they come.

    Raises EngineFailed when a case loses its workers.
    """
    for task, answer in run_tasks(client, find_case, tasks):
        fault, engine = selftest.cases[task.names]
        if isinstance(answer, Lost):
            raise EngineFailed(engine.name, f"lost its worker with the fault {fault.name!r}", answer.why)
        kernels, report, problem = answer
        yield task.names, Finding(fault, engine.name, kernels, report, problem)


def find_case(task: CaseTask) -> tuple[str, BlameReport, str]:
    """On a worker: the kernel set that ran, what blame said, and the problem with it."""
    finding = _selftest_here(task.engines, task.kernels).find(task.names)
    return finding.kernels, finding.report, finding.problem


@cache
def _selftest_here(engines: tuple[str, ...], kernels: str | None) -> Selftest:
    """The cases of this worker, made once in its life."""
    folder = tempfile.TemporaryDirectory()
    _folders.append(folder)
    return Selftest(engines, kernels, Path(folder.name))


_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the worker ends


def _subjects(names: Sequence[str], kernels: str | None) -> dict[str, Engine]:
    """The engines to plant faults in, each with the kernel set that was named or every one of its own."""
    engines = configure_each([get_engine(name) for name in names], kernels=kernels)
    if kernels is not None:
        return {engine.name: engine for engine in engines}
    return {name: each for engine in engines for name, each in with_every_kernel_set(engine).items()}
