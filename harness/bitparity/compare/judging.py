"""A comparison from beginning to end: measure, find the noise floor if it matters, judge, and blame.

What measures noise and what judges stages is imported by the runs that need it: most agree, and end sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from bitparity.compare.comparison import (
    Comparison,
    Measured,
    Progress,
    guarded,
    measure,
    measure_sessions,
    open_sides,
)
from bitparity.compare.recording import RecordedEngine
from bitparity.compare.result import ComparisonResult, ModelFile, PositionResult, PromptSpan
from bitparity.engine import Session
from bitparity.errors import BitparityError
from bitparity.model.types import Model
from bitparity.noise.criterion import Criterion, Exactness, FixedLimit, MeasuredNoise, UnknownNoise
from bitparity.noise.floor import NoiseFloor, pool
from bitparity.noise.verdict import Verdict, judge_position
from bitparity.runs import file_digest

if TYPE_CHECKING:
    from bitparity.blame.engines import BlameReport

Sessions = tuple[Session, Session]


def compare(
    comparison: Comparison,
    *,
    limit: float | None = None,
    blame: bool = False,
    on_blame: Callable[[BlameReport], None] | None = None,
    on_result: Callable[[ComparisonResult], None] | None = None,
    sessions: Sessions | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare every position and judge it.

    limit     judge by this limit on 1 - cosine; None judges by the noise of the reference, which is measured
              unless every position agrees to the rounding of float32 sums
    blame     also judge every stage of both engines; a stage that is wrong is a divergence however small
    on_blame  called with the whole report of the stages, of which the result keeps the data
    on_result called with what is known, before noise is measured or stages are judged
    sessions  reference and candidate, open already; opened here if None

    Raises as comparison.measure does.  What fails after the positions were measured is told in the result.
    """
    keep = on_result or (lambda result: None)
    with ThreadPoolExecutor(1) as aside:  # the digests that results carry, while engines open the files
        for side in (comparison.reference, comparison.candidate):
            aside.submit(file_digest, side.model.path)
        if sessions is None:
            measured = measure(comparison, progress)
        else:
            measured = measure_sessions(comparison, *sessions, progress)
    criterion: Criterion = Exactness() if limit is None else FixedLimit(limit)
    result = conclude(comparison, measured, criterion)
    if limit is None and result.first_divergence is not None:
        no_noise = f"the noise of {comparison.reference.engine.name} was not measured"
        keep(conclude(comparison, measured.without(no_noise), UnknownNoise()))
        floor = _noise(comparison, measured, no_noise)
        criterion = UnknownNoise() if floor is None else MeasuredNoise(floor)
        result = conclude(comparison, measured, criterion)
    if blame and measured.failure is None:
        no_stages = "stages were not judged"
        keep(conclude(comparison, measured.without(no_stages), criterion))
        report = _blame(comparison, measured, result.first_divergence, sessions, no_stages)
        if report is not None and on_blame is not None:
            on_blame(report)
        result = conclude(comparison, measured, criterion, report)
    return result


def conclude(
    comparison: Comparison, measured: Measured, criterion: Criterion, report: BlameReport | None = None
) -> ComparisonResult:
    """Judge what was measured and gather it into a result."""
    rows: list[PositionResult] = []
    spans: list[PromptSpan] = []
    for index, (ids, prompt) in enumerate(zip(measured.tokens, comparison.prompts, strict=True)):
        spans.append(PromptSpan(prompt.text, len(rows), len(ids) + comparison.steps, comparison.steps))
        for record in measured.records[index] if index < len(measured.records) else ():
            judged = judge_position(record.metrics, criterion)
            rows.append(PositionResult(index, record.position, record.token, record.metrics, judged))
    result = ComparisonResult(
        model=_model_file(comparison.reference.model),
        candidate_model=_model_file(comparison.candidate.model),
        reference=measured.fingerprints[0],
        candidate=measured.fingerprints[1],
        chunks=comparison.chunking.name,
        prompts=tuple(spans),
        positions=tuple(rows),
        verdict=Verdict.NOT_COMPARED,  # judged_by below decides
        exit_code=4,
        criterion="",
        limits={},
        noise_floor=criterion.floor.as_dict() if isinstance(criterion, MeasuredNoise) else None,
        failure=measured.failure,
        unfinished=measured.unfinished,
        blame=None if report is None else report.as_dict(),
        seconds=round(measured.seconds, 3),
        command=comparison.command,
    )
    return result.judged_by(criterion)


def find_noise(comparison: Comparison, tokens: Sequence[Sequence[int]]) -> NoiseFloor:
    """The reference's noise on the tokens that it ran, on MAX_POSITIONS or so; a recording has its own."""
    from bitparity.noise.measure import MAX_POSITIONS, measure_noise

    engine = comparison.reference.engine
    if isinstance(engine, RecordedEngine):
        return engine.recording.noise
    floors: list[NoiseFloor] = []
    positions = 0
    for ids in tokens:
        if ids and positions < MAX_POSITIONS:
            positions += len(ids)
            floors.append(
                measure_noise(
                    engine,
                    comparison.reference.model,
                    ids,
                    settings=comparison.settings,
                    threads=comparison.threads,
                    device_id=comparison.device_id,
                )
            )
    return pool(floors)


def _noise(comparison: Comparison, measured: Measured, without: str) -> NoiseFloor | None:
    """The reference's noise on what it ran; None where it cannot be had, and `measured` says why."""
    if measured.reference_has_failed:
        return None
    try:
        return find_noise(comparison, [[r.token for r in records] for records in measured.records])
    except (BitparityError, OSError) as error:
        measured.ended_by(error, without)
        return None


def _blame(
    comparison: Comparison,
    measured: Measured,
    first: PositionResult | None,
    sessions: Sessions | None,
    without: str,
) -> BlameReport | None:
    """Judge the stages of the prompt that diverged first, or of the first one; None as in _noise."""
    from bitparity.blame.bisect import blame_sessions

    tokens = [record.token for record in measured.records[first.prompt if first else 0]]
    opened: AbstractContextManager[Sessions]
    opened = open_sides(comparison) if sessions is None else nullcontext(guarded(comparison, *sessions))
    files = comparison.reference.model, comparison.candidate.model
    try:
        with opened as (reference, candidate):
            return blame_sessions(
                comparison.meant, reference, candidate, tokens, comparison.chunking, files=files
            )
    except (BitparityError, OSError) as error:
        measured.ended_by(error, without)
        return None


def _model_file(model: Model) -> ModelFile:
    return ModelFile(str(model.path), file_digest(model.path))
