"""The verdict on one position and on a run, and the exit code of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bitparity.compare.metrics import METRICS, PositionMetrics
from bitparity.noise.criterion import Criterion, MeasuredNoise, UnknownNoise


class Verdict(Enum):
    AGREE = "agree"
    EXPLAINED = "explained"
    NOISE = "noise"
    DIVERGED = "diverged"
    NOT_COMPARED = "not compared"
    REFERENCE_SUSPECT = "reference suspect"
    ENGINE_FAILED = "engine failed"


PASSES = (Verdict.AGREE, Verdict.EXPLAINED, Verdict.NOISE)  # best first
EXIT_CODES = {
    Verdict.AGREE: 0,
    Verdict.EXPLAINED: 0,
    Verdict.NOISE: 0,
    Verdict.DIVERGED: 1,
    Verdict.NOT_COMPARED: 4,
    Verdict.REFERENCE_SUSPECT: 4,  # nothing can be judged against it, so nothing was compared
    Verdict.ENGINE_FAILED: 5,
}


@dataclass(frozen=True, slots=True)
class PositionVerdict:
    """AGREE, EXPLAINED, NOISE, DIVERGED or, where the noise is not known, NOT_COMPARED; and why.

    is_near_tie  marks a flip of the best token that noise explains
    """

    verdict: Verdict
    reason: str
    is_near_tie: bool = False


def judge_position(metrics: PositionMetrics, criterion: Criterion) -> PositionVerdict:
    """Judge one position; NaN, infinity and whatever else no limit accepts is a divergence."""
    if not (metrics.expected_is_finite and metrics.actual_is_finite):
        return PositionVerdict(Verdict.DIVERGED, _not_finite(metrics))
    judged = _judge_finite(metrics, criterion)
    if judged.verdict is Verdict.DIVERGED and isinstance(criterion, UnknownNoise):
        reason = f"{judged.reason}; whether that is noise is not known"
        return PositionVerdict(Verdict.NOT_COMPARED, reason)
    return judged


def _judge_finite(metrics: PositionMetrics, criterion: Criterion) -> PositionVerdict:
    near_tie = False
    if not metrics.argmax_equal:
        near_tie = metrics.contested <= criterion.tie_gap(metrics)
        if not near_tie:
            return PositionVerdict(Verdict.DIVERGED, _flip(metrics))
    if criterion.agrees(metrics):
        return PositionVerdict(Verdict.AGREE, "", near_tie)
    if criterion.is_noise(metrics):
        return PositionVerdict(Verdict.NOISE, "", near_tie)
    return PositionVerdict(Verdict.DIVERGED, _too_far(metrics), near_tie)


def judge_run(
    verdicts: Iterable[PositionVerdict],
    *,
    asked: int,
    criterion: Criterion,
    an_engine_failed: bool = False,
    a_stage_is_wrong: bool = False,
    is_unfinished: bool = False,
    is_shifted: bool = False,
) -> Verdict:
    """Judge a run: the worst position decides, and fewer positions than asked are never a pass.

    an_engine_failed  outweighs all else, divergences too: each position keeps its own verdict
    a_stage_is_wrong  a divergence, however close the logits are
    is_unfinished     something else that was asked could not be done: never a pass, but a divergence that was
                      seen stays one
    is_shifted        what is noise at every position is none at all of them together (shift.py)
    """
    seen = [v.verdict for v in verdicts if v.verdict is not Verdict.NOT_COMPARED]
    if an_engine_failed:
        return Verdict.ENGINE_FAILED
    if isinstance(criterion, MeasuredNoise) and criterion.floor.suspect:
        return Verdict.REFERENCE_SUSPECT
    if Verdict.DIVERGED in seen or a_stage_is_wrong:
        return Verdict.DIVERGED
    if not seen or len(seen) < asked or is_unfinished:
        return Verdict.NOT_COMPARED
    worst = max(seen, key=PASSES.index)
    return Verdict.DIVERGED if worst is Verdict.NOISE and is_shifted else worst


def exit_code(verdict: Verdict, metrics: Iterable[PositionMetrics], required: Verdict = Verdict.NOISE) -> int:
    """Exit code of a run; 5 as well when one engine returned NaN or infinity where the other did not.

    required  the least of PASSES that is asked for; what passes and is less is as bad as a divergence
    """
    one_sided = any(m.expected_is_finite != m.actual_is_finite for m in metrics)
    if one_sided:
        return EXIT_CODES[Verdict.ENGINE_FAILED]
    if verdict in PASSES and PASSES.index(verdict) > PASSES.index(required):
        return EXIT_CODES[Verdict.DIVERGED]
    return EXIT_CODES[verdict]


def _not_finite(metrics: PositionMetrics) -> str:
    if metrics.expected_is_finite:
        return "the candidate returned NaN or infinity where the reference did not"
    if metrics.actual_is_finite:
        return "the reference returned NaN or infinity where the candidate did not"
    return "both engines returned NaN or infinity"


def _flip(metrics: PositionMetrics) -> str:
    return (
        f"the best token is {metrics.argmax_actual} instead of {metrics.argmax_expected}, "
        f"which led it by {metrics.contested:.3g}"
    )


def _too_far(metrics: PositionMetrics) -> str:
    return ", ".join(f"{m.title} is {m.of(metrics):.2e}" for m in METRICS if m.in_reasons)
