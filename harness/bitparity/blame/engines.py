"""Who is wrong, and where: each engine judged stage by stage on what it recorded itself.

A stage is guilty when its local error is over its bound (bounds.py); an inherited error never is.  The
answer is one sentence; the table under it has both engines' local errors and the difference between them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bitparity.blame.causes import Cause, find_causes
from bitparity.blame.judge import Judge, LocalError, NotJudged
from bitparity.blame.own_arithmetic import find_arithmetic
from bitparity.compare.metrics import relative_l2
from bitparity.engine import Fingerprint
from bitparity.errors import NotCompared
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import BITNET_CPP, GENERATIONS, Arithmetic, arithmetic_of
from bitparity.oracle.definition import Definition
from bitparity.output import without_nan
from bitparity.stages import StageFilter, graph_order
from bitparity.trace import Trace, TraceValues

LAYERS_KEPT = 3  # unpacked by the oracle: the one that is judged and its neighbours, for explanations
ENDS = ("embeddings", "layer_out", "logits")  # stages whose differences show how rounding grows


@dataclass(frozen=True)
class Evidence:
    """What one engine recorded, and what of it is its own.

    arithmetic  its own, or the one to begin with where it states none
    states      whether it states its arithmetic
    model     what was meant, in the formats of the file that it ran (model/twin.py); None if that file is the
              one that was meant
    """

    trace: TraceValues
    arithmetic: Arithmetic
    model: Model | None = None
    states: bool = True

    @classmethod
    def of(
        cls,
        trace: TraceValues,
        fingerprint: Fingerprint | None = None,
        model: Model | None = None,
        found: Arithmetic | None = None,
    ) -> Evidence:
        """Arithmetic by the fingerprint, else by that of a stored trace, else by the engine's name.

        found  what its logits say where it states nothing, or what does not hold: the one to begin with
        """
        if found is not None:
            return cls(trace, found, model, states=False)
        if fingerprint is None and isinstance(trace, Trace) and trace.meta.get("fingerprint"):
            fingerprint = Fingerprint(**trace.meta["fingerprint"])
        if fingerprint is None:
            return cls(trace, GENERATIONS.get(trace.engine, BITNET_CPP), model, states=False)
        states = "arithmetic" in fingerprint.details
        return cls(trace, arithmetic_of(fingerprint), model, states)


@dataclass(frozen=True)
class StageSummary:
    """The worst of one stage's local errors over its positions; fields as in LocalError.

    errors     local error at every position of EngineBlame.positions, to three digits; NaN where not judged
    guilty_at  positions at which the stage is guilty
    """

    layer: int
    stage: str
    positions: int
    error: float
    bound: float
    excess: float
    max_abs: float
    guilty_positions: int
    errors: tuple[float, ...] = ()
    guilty_at: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outside:
    """What an engine without a tap was found to compute, from its logits on copies of the model (probe/).

    said        what was found, with the engine as its subject
    is_guilty   whether some part is not as it is defined
    arithmetic  that the others are computed in
    parts       for each copy what it said, and the stages that it leaves under suspicion
    """

    said: str
    is_guilty: bool
    arithmetic: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class EngineBlame:
    """One engine, judged.

    arithmetic   that it was judged by, and whether it states it
    stages       a summary for every stage that was judged, in graph order
    causes       what made stages guilty, the one to tell first; empty when no stage is
    not_judged   what was recorded but cannot be judged
    absent       stages that the architecture has and the engine recorded nowhere
    positions    that the engine recorded
    outside      what its logits say on copies of the model, where it records nothing
    """

    engine: str
    arithmetic: str
    stages: tuple[StageSummary, ...]
    causes: tuple[Cause, ...]
    not_judged: tuple[NotJudged, ...]
    absent: tuple[str, ...]
    positions: tuple[int, ...] = ()
    outside: Outside | None = None

    @property
    def is_guilty(self) -> bool:
        """Whether a stage that was recorded, or what was read from outside, is wrong."""
        return bool(self.causes) or (self.outside is not None and self.outside.is_guilty)

    def guilty_stages(self) -> list[StageSummary]:
        return [s for s in self.stages if s.guilty_positions]

    @property
    def acquittal(self) -> str:
        """What is said where nothing is wrong: no more than was judged."""
        if self.stages:
            return f"no stage of {self.engine} is wrong"
        if self.not_judged:
            return f"{self.engine} was not judged: {self.not_judged[0].reason}"
        if self.outside is not None:
            return f"{self.outside.said}; it records no stages and was read from outside"
        return f"{self.engine} records no stages: it was not judged"

    @property
    def cause(self) -> Cause | None:
        """What is told first; None when no stage is guilty."""
        return self.causes[0] if self.causes else None

    def sentence(self) -> str:
        """What is wrong, with its evidence; empty when nothing is."""
        if self.cause is None and self.outside is not None and self.outside.is_guilty:
            return f"{self.outside.said}; it records no stages and was read from outside"
        if self.cause is None:
            return ""
        cause = self.cause
        details = "; ".join(part for part in (cause.measure(), cause.elsewhere()) if part)
        also = "".join(f"; also {other.place}: it {other.words}" for other in self.causes[1:])
        return (
            f"{self.engine} is wrong: {cause.place}, from position {cause.local.position}: it {cause.words} "
            f"({details}){also}"
        )


@dataclass(frozen=True)
class Difference:
    """How far the engines are apart at one stage: relative L2, worst and root mean square over positions.

    errors   the same at each position of the reference's EngineBlame.positions, three digits; NaN where not
             both recorded it
    """

    layer: int
    stage: str
    worst: float
    typical: float
    positions: int
    errors: tuple[float, ...] = ()


@dataclass(frozen=True)
class BlameReport:
    """Both engines, judged by the same weights; the reference is `expected`, the candidate `actual`."""

    expected: EngineBlame
    actual: EngineBlame
    differences: tuple[Difference, ...]

    @property
    def is_guilty(self) -> bool:
        return self.expected.is_guilty or self.actual.is_guilty

    @property
    def exit_code(self) -> int:
        return 1 if self.is_guilty else 0

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        both = (self.actual, self.expected)
        guilty = [b.sentence() for b in both if b.is_guilty]
        if guilty:
            return "; ".join([*guilty, *(b.acquittal for b in both if not (b.stages or b.is_guilty))])
        if not (self.expected.stages and self.actual.stages):
            return "; ".join(side.acquittal for side in (self.expected, self.actual))
        return (
            f"no stage of {self.expected.engine} or {self.actual.engine} is wrong{_growth(self.differences)}"
        )

    def growth(self) -> list[Difference]:
        """The engines' difference at the end of every layer and at the logits."""
        return [d for d in self.differences if d.stage in ENDS]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not finite is None."""
        plain: dict[str, Any] = without_nan(
            {"sentence": self.sentence, "guilty": self.is_guilty, **asdict(self)}
        )
        return plain


def blame(
    model: Model,
    expected: Evidence,
    actual: Evidence,
    *,
    tokens: Sequence[int] = (),
    stages: StageFilter | None = None,
) -> BlameReport:
    """Judge both engines by the definition of the model that both were meant to run.

    model    that model, in the formats of its file; an engine that ran a twin says so in its evidence
    tokens   of the sequence; without them embeddings are not judged
    Raises NotCompared if no stage of either trace can be judged.
    """
    report = judge_all(model, (expected, actual), tokens=tokens, stages=stages)[0, 1]
    check_judged(report)
    return report


def judge_all(
    model: Model, evidence: Sequence[Evidence], *, tokens: Sequence[int], stages: StageFilter | None
) -> dict[tuple[int, int], BlameReport]:
    """As blame, for every two of these engines, by their numbers; but nothing judged is no error."""
    judged = [judge_engine(model, each, tokens=tokens, stages=stages) for each in evidence]
    return {
        (i, j): BlameReport(
            judged[i], judged[j], tuple(_differences(evidence[i].trace, evidence[j].trace, stages))
        )
        for i, j in combinations(range(len(evidence)), 2)
    }


def check_judged(report: BlameReport) -> None:
    """Raise NotCompared if nothing was judged: that is never a pass."""
    sides = (report.expected, report.actual)
    if any(side.stages or side.outside is not None for side in sides):
        return
    reasons = {n.reason for b in (report.expected, report.actual) for n in b.not_judged}
    raise NotCompared(
        f"no stage can be judged: {'; '.join(sorted(reasons)[:3]) or 'no values were recorded'}"
    )


def judge_engine(
    model: Model, evidence: Evidence, *, tokens: Sequence[int] = (), stages: StageFilter | None = None
) -> EngineBlame:
    """Judge one engine by the definition of a model, in the engine's own arithmetic."""
    judge = judge_of(model, evidence, tokens)
    arithmetic = judge.definition.arithmetic
    judged = list(judge.judge(stages))
    errors = [j for j in judged if isinstance(j, LocalError)]
    recorded = {stage for _, stage in evidence.trace.stages()}
    positions = tuple(evidence.trace.positions())
    return EngineBlame(
        engine=evidence.trace.engine,
        arithmetic=arithmetic.name if evidence.states else f"{arithmetic.name}, found in its stages",
        stages=tuple(_summaries(errors, positions)),
        causes=find_causes(judge, errors),
        not_judged=tuple(j for j in judged if isinstance(j, NotJudged)),
        absent=tuple(s for s in model.hyper.architecture.by_name if s not in recorded),
        positions=positions,
    )


def judge_of(model: Model, evidence: Evidence, tokens: Sequence[int] = ()) -> Judge:
    """A judge of one engine's stages, in the engine's own arithmetic: stated, or found in its stages."""
    meant, arithmetic = evidence.model or model, evidence.arithmetic
    if not evidence.states:
        arithmetic = find_arithmetic(meant, evidence.trace, arithmetic, tokens)
    return Judge(Definition.of(meant, arithmetic, LAYERS_KEPT), evidence.trace, tokens)


def _summaries(errors: Iterable[LocalError], positions: Sequence[int]) -> Iterator[StageSummary]:
    by_stage: dict[tuple[int, str], list[LocalError]] = defaultdict(list)
    for error in errors:
        by_stage[error.layer, error.stage].append(error)
    for (layer, stage), group in by_stage.items():
        worst = max(group, key=lambda e: e.rank)
        guilty = tuple(e.position for e in group if e.is_guilty)
        numbers = (worst.error, worst.bound, worst.excess, worst.max_abs)
        at = _aligned({e.position: e.error for e in group}, positions)
        yield StageSummary(layer, stage, len(group), *numbers, len(guilty), at, guilty)


def _aligned(errors: Mapping[int, float], positions: Sequence[int]) -> tuple[float, ...]:
    """The error at each position, with the three digits that reports show, and NaN where there is none."""
    return tuple(float(f"{errors.get(position, math.nan):.3g}") for position in positions)


def _differences(
    expected: TraceValues, actual: TraceValues, stages: StageFilter | None
) -> Iterator[Difference]:
    """Relative L2 between the engines at every stage and position that both recorded."""
    common = set(expected.stages()) & set(actual.stages())
    for layer, stage in sorted(common, key=lambda pair: graph_order(*pair)):
        if stages is not None and not stages.matches(layer, stage):
            continue
        positions = expected.positions()
        at = [p for p in positions if _both_have(expected, actual, layer, stage, p)]
        pairs = ((expected.value(layer, stage, p), actual.value(layer, stage, p)) for p in at)
        relative = [relative_l2(e, a) if e.shape == a.shape else math.inf for e, a in pairs]
        if relative:
            typical = float(np.sqrt(np.mean(np.square(relative))))
            errors = _aligned(dict(zip(at, relative, strict=True)), positions)
            yield Difference(layer, stage, float(np.max(relative)), typical, len(relative), errors)


def _both_have(expected: TraceValues, actual: TraceValues, layer: int, stage: str, position: int) -> bool:
    return expected.has_value(layer, stage, position) and actual.has_value(layer, stage, position)


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
