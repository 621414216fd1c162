"""Who is wrong, and where: each engine judged stage by stage on what it recorded itself.

A stage is guilty when its local error is over its bound (bounds.py); an inherited error never is.  The
answer is one sentence; the table under it has both engines' local errors and the difference between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.compare.explain import explain
from bitparity.compare.judge import Judge, LocalError, MissingInput, NotJudged
from bitparity.engine import Fingerprint
from bitparity.errors import NotCompared
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.oracle.definition import Definition, stages_of
from bitparity.oracle.numerics import numerics_of
from bitparity.stages import StageFilter, graph_order
from bitparity.trace import Trace, TraceValues, read_trace

POSITIONS_EXPLAINED = 8  # guilty positions that an explanation has to fit
LAYERS_IN_GROWTH = 40  # lines of the growth table at most


@dataclass(frozen=True)
class Side:
    """What one engine recorded.

    fingerprint   decides which F16 roundings are its own (oracle/numerics.py)
    """

    trace: TraceValues
    fingerprint: Fingerprint | None = None

    @property
    def engine(self) -> str:
        return self.trace.engine


@dataclass(frozen=True)
class StageSummary:
    """The worst of one stage's local errors over its positions; fields as in LocalError."""

    layer: int
    stage: str
    positions: int
    error: float
    bound: float
    excess: float
    max_abs: float
    guilty_positions: int


@dataclass(frozen=True)
class Guilt:
    """The first guilty stage of an engine: earliest position first, then the order of the graph.

    words     what it does, as a clause: "computes SiLU where ReLU² is defined"
    layers    layers in which the same stage is guilty
    """

    local: LocalError
    words: str
    layers: tuple[int, ...]

    def sentence(self, engine: str) -> str:
        at = self.local
        where = f"layer {at.layer}, {at.stage}" if at.layer >= 0 else at.stage
        also = f"; so in {len(self.layers)} layers" if len(self.layers) > 1 else ""
        return (
            f"{engine} is wrong: {where}, from position {at.position}: it {self.words} "
            f"(local error {at.error:.2g}, rounding explains {at.bound:.1g}{also})"
        )


@dataclass(frozen=True)
class EngineBlame:
    """One engine, judged.

    stages       a summary for every stage that was judged, in graph order
    first        its first guilty stage, None when none is
    guilty       every guilty local error, in the order of `first`
    not_judged   what was recorded but cannot be judged
    absent       stages that the architecture has and the engine recorded nowhere
    """

    engine: str
    stages: tuple[StageSummary, ...]
    first: Guilt | None
    guilty: tuple[LocalError, ...]
    not_judged: tuple[NotJudged, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """How far the engines are apart at one stage: relative L2, worst and root mean square over positions."""

    layer: int
    stage: str
    worst: float
    typical: float
    positions: int


@dataclass(frozen=True)
class BlameReport:
    """The answer, and what it rests on."""

    answer: str
    expected: EngineBlame
    actual: EngineBlame
    differences: tuple[Difference, ...] = field(default=())

    @property
    def is_guilty(self) -> bool:
        return self.expected.first is not None or self.actual.first is not None

    @property
    def exit_code(self) -> int:
        return 1 if self.is_guilty else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; NaN and infinity as they are."""
        return {"guilty": self.is_guilty, **asdict(self)}

    def growth(self) -> list[Difference]:
        """The engines' difference at the end of every layer and at the logits."""
        ends = [d for d in self.differences if d.stage in ("embeddings", "layer_out", "logits")]
        return ends[:LAYERS_IN_GROWTH]


def read_side(folder: Path) -> Side:
    """A stored trace with its fingerprint.  Raises as read_trace does."""
    return side_of(read_trace(folder))


def side_of(trace: Trace) -> Side:
    """A stored trace, with the fingerprint of its meta data if it has one."""
    recorded = trace.meta.get("fingerprint")
    return Side(trace, Fingerprint(**recorded) if recorded else None)


def blame(
    model: Model | Path,
    expected: Side,
    actual: Side,
    *,
    tokens: Sequence[int] = (),
    stages: StageFilter | None = None,
) -> BlameReport:
    """Judge both engines by the definition of one model.

    model    the model that both were meant to run
    tokens   of the sequence; without them embeddings are not judged
    Raises NotCompared if no stage of either trace can be judged.
    """
    opened = open_model(model) if isinstance(model, Path) else model
    blames = [judge_engine(opened, side, tokens=tokens, stages=stages) for side in (expected, actual)]
    if not any(b.stages for b in blames):
        reasons = {n.reason for b in blames for n in b.not_judged} or {
            "no values were kept (record with --values)"
        }
        raise NotCompared(f"no stage can be judged: {'; '.join(sorted(reasons)[:3])}")
    differences = tuple(_differences(expected.trace, actual.trace))
    answer = _answer(blames[0], blames[1], differences)
    return BlameReport(answer, blames[0], blames[1], differences)


def judge_engine(
    model: Model, side: Side, *, tokens: Sequence[int] = (), stages: StageFilter | None = None
) -> EngineBlame:
    """Judge one engine by the definition of a model, with the engine's own F16 roundings."""
    definition = Definition.of(model, numerics_of(side.fingerprint or _by_name(side.engine)))
    judge = Judge(definition, side.trace, tokens)
    judged = list(judge.judge(stages))
    errors = [j for j in judged if isinstance(j, LocalError)]
    guilty = sorted((e for e in errors if e.is_guilty), key=_order)
    recorded = {stage for _, stage in side.trace.stages()}
    return EngineBlame(
        engine=side.engine,
        stages=tuple(_summaries(errors)),
        first=_guilt(judge, guilty) if guilty else None,
        guilty=tuple(guilty),
        not_judged=tuple(j for j in judged if isinstance(j, NotJudged)),
        absent=tuple(s for s in stages_of(model.hyper) if s not in recorded),
    )


def _by_name(engine: str) -> Fingerprint:
    """What is known when a trace has no fingerprint."""
    return Fingerprint(engine, "", "", "", "", 0, "f16")


def _order(error: LocalError) -> tuple[int, tuple[int, int, int]]:
    return error.position, graph_order(error.layer, error.stage)


def _summaries(errors: Iterable[LocalError]) -> Iterable[StageSummary]:
    by_stage: dict[tuple[int, str], list[LocalError]] = defaultdict(list)
    for error in errors:
        by_stage[error.layer, error.stage].append(error)
    for (layer, stage), group in by_stage.items():
        worst = max(group, key=lambda e: e.rank)
        yield StageSummary(
            layer,
            stage,
            positions=len(group),
            error=worst.error,
            bound=worst.bound,
            excess=worst.excess,
            max_abs=worst.max_abs,
            guilty_positions=sum(e.is_guilty for e in group),
        )


def _guilt(judge: Judge, guilty: Sequence[LocalError]) -> Guilt:
    first = guilty[0]
    same = [e for e in guilty if (e.layer, e.stage, e.rows) == (first.layer, first.stage, first.rows)]
    positions = [e.position for e in same[:POSITIONS_EXPLAINED]]
    try:
        found = judge.evaluate(first.layer, first.stage, positions, first.rows)
        words = explain(judge.definition, first.stage, found)
    except MissingInput:  # cannot be: it was judged
        raise AssertionError(f"{first.stage} was judged without its inputs") from None
    layers = sorted({e.layer for e in guilty if e.stage == first.stage})
    return Guilt(first, words, tuple(layers))


def _differences(expected: TraceValues, actual: TraceValues) -> Iterable[Difference]:
    """Relative L2 between the engines at every stage and position that both recorded."""
    common = set(expected.stages()) & set(actual.stages())
    for layer, stage in sorted(common, key=lambda pair: graph_order(*pair)):
        relative = []
        for position in expected.positions():
            if expected.has_value(layer, stage, position) and actual.has_value(layer, stage, position):
                pair = (t.value(layer, stage, position) for t in (expected, actual))
                relative.append(_relative(*pair))
        if relative:
            typical = float(np.sqrt(np.mean(np.square(relative))))
            yield Difference(layer, stage, float(np.max(relative)), typical, len(relative))


def _relative(expected: Any, actual: Any) -> float:
    if expected.shape != actual.shape:
        return float("inf")
    wide = expected.astype(np.float64)
    size = float(np.linalg.norm(wide)) or 1.0
    return float(np.linalg.norm(actual - wide)) / size


def _answer(expected: EngineBlame, actual: EngineBlame, differences: Sequence[Difference]) -> str:
    sentences = [b.first.sentence(b.engine) for b in (actual, expected) if b.first]
    if sentences:
        return "; ".join(sentences)
    return f"no stage of {expected.engine} or {actual.engine} is wrong{_growth(differences)}"


def _growth(differences: Sequence[Difference]) -> str:
    """What the difference of two engines without fault comes from."""
    if not differences:
        return "; nothing was recorded by both"
    unequal = [d for d in differences if d.worst != 0]
    if not unequal:
        return ", and they are equal wherever both recorded"
    first, last = unequal[0], differences[-1]
    return (
        f"; they differ by rounding, first at {_place(first)} (relative {first.worst:.1g}), "
        f"which has grown to {last.worst:.1g} at {_place(last)}"
    )


def _place(difference: Difference) -> str:
    return f"layer {difference.layer} {difference.stage}" if difference.layer >= 0 else difference.stage
