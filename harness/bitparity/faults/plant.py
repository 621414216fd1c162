"""Plant a fault in an engine, run it beside a sound one, and see whether blame finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from bitparity.blame.bisect import blame_sessions
from bitparity.blame.engines import BlameReport
from bitparity.compare.chunking import Chunking
from bitparity.engine import Engine
from bitparity.errors import BadInput
from bitparity.faults.catalogue import Fault
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine


@runtime_checkable
class Plantable(Protocol):
    """An engine that can be made faulty."""

    def with_faults(
        self, alter: Callable[[Model], Model] | None, switches: Mapping[str, int | bool]
    ) -> Engine: ...


@dataclass(frozen=True)
class Finding:
    """What blame said of a planted fault; `problem` is empty when blame named the fault.

    kernels  kernel set that the session says it ran
    """

    fault: Fault
    engine: str
    kernels: str
    report: BlameReport
    problem: str

    @property
    def is_found(self) -> bool:
        return not self.problem


def plant(fault: Fault, sound: Engine) -> Engine:
    """The engine with the fault in it.  BadInput for one that cannot be made faulty."""
    if isinstance(sound, OracleEngine):
        return OracleEngine(make_definition=_faulty_definition(fault))
    if not isinstance(sound, Plantable):
        raise BadInput(f"faults cannot be planted in {sound.name}; they can in native and oracle")
    return sound.with_faults(fault.alter, fault.switches)


def find(fault: Fault, sound: Engine, path: Path, tokens: Sequence[int], chunks: str = "mixed") -> Finding:
    """Run the engine with the fault in it beside the sound oracle and judge both."""
    model = open_model(path)
    expected = OracleEngine().open(path, context=len(tokens), threads=1)
    actual = plant(fault, sound).open(path, context=len(tokens), threads=1)
    kernels = actual.info.fingerprint.kernels
    try:
        report = blame_sessions(model, expected, actual, tokens, Chunking.parse(chunks))
    finally:
        actual.close()
    return Finding(fault, sound.name, kernels, report, _problem(fault, report))


def _faulty_definition(fault: Fault) -> Callable[[Model, Arithmetic], Definition]:
    def make(model: Model, arithmetic: Arithmetic) -> Definition:
        altered = fault.alter(model) if fault.alter else model
        definition = Definition.of(altered, arithmetic)
        return fault.definition(definition) if fault.definition else definition

    return make


def _problem(fault: Fault, report: BlameReport) -> str:
    """Why a report does not name the fault; empty when it does."""
    if report.expected.cause is not None:
        return "the sound engine was blamed"
    cause = report.actual.cause
    if cause is None:
        return "no stage was found guilty"
    found = (cause.local.layer, cause.local.stage, cause.local.position)
    planted = (fault.layer, fault.stage, found[2] if fault.position is None else fault.position)
    if found != planted:
        return f"found at (layer, stage, position) {found}, planted at {planted}"
    return "" if fault.says in cause.words else f"blame does not say {fault.says!r}"
