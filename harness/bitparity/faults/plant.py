"""Plant a fault in an engine, run it beside a sound one, and see whether blame finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from bitparity.blame.bisect import record_session
from bitparity.blame.engines import BlameReport, EngineBlame, judge_engine
from bitparity.compare.chunking import Chunking
from bitparity.engine import Engine
from bitparity.errors import BadInput
from bitparity.faults.catalogue import Fault
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine
from bitparity.stages import StageFilter


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
    model, expected = _judged_oracle(path, tuple(tokens), chunks)
    session = plant(fault, sound).open(path, context=len(tokens), threads=1)
    kernels = session.info.fingerprint.kernels
    try:
        evidence = record_session(session, model, tokens, Chunking.parse(chunks), StageFilter.parse())
    finally:
        session.close()
    actual = judge_engine(model, evidence, tokens=tokens)
    report = BlameReport(expected, actual, ())
    return Finding(fault, sound.name, kernels, report, _problem(fault, report, model))


def can_be_planted(fault: Fault, engine: Engine, model: Model) -> bool:
    """Whether the model can have the fault, and the engine be made to."""
    if isinstance(engine, OracleEngine):
        return fault.applies(Definition.of(model))
    return fault.alter is not None or bool(fault.switches)


@lru_cache(maxsize=2)
def _judged_oracle(path: Path, tokens: tuple[int, ...], chunks: str) -> tuple[Model, EngineBlame]:
    """The sound oracle, judged once for all faults."""
    model = open_model(path)
    session = OracleEngine().open(path, context=len(tokens), threads=1)
    evidence = record_session(session, model, tokens, Chunking.parse(chunks), StageFilter.parse())
    return model, judge_engine(model, evidence, tokens=tokens)


def _faulty_definition(fault: Fault) -> Callable[[Model, Arithmetic], Definition]:
    def make(model: Model, arithmetic: Arithmetic) -> Definition:
        altered = fault.alter(model) if fault.alter else model
        definition = Definition.of(altered, arithmetic)
        return fault.definition(definition) if fault.definition else definition

    return make


def _problem(fault: Fault, report: BlameReport, model: Model) -> str:
    """Why a report does not name the fault; empty when it does."""
    if report.expected.cause is not None:
        return "the sound engine was blamed"
    if report.actual.cause is None:
        return "no stage was found guilty"
    says = fault.words(Definition.of(model))
    named = [cause for cause in report.actual.causes if says in cause.words]
    if not named:
        return f"blame does not say {says!r}"
    local = named[0].local
    found = (local.layer, local.stage, local.position)
    planted = (fault.layer, fault.stage, local.position if fault.position is None else fault.position)
    if found != planted:
        return f"found at (layer, stage, position) {found}, planted at {planted}"
    return ""
