"""A comparison from beginning to end: measure, find the noise floor if it matters, judge, and blame.

What measures noise and what judges stages is imported by the runs that need it: most agree, and end sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from bitparity.compare.comparison import Comparison, Measured, Progress, measure, measure_sessions, open_sides
from bitparity.compare.noise_floor import NoiseFloor, pool
from bitparity.compare.recording import RecordedEngine
from bitparity.compare.result import ComparisonResult, ModelFile, PositionResult, PromptSpan
from bitparity.compare.tolerance import Criterion, Exactness, FixedLimit, MeasuredNoise
from bitparity.compare.verdict import Verdict, judge_position
from bitparity.engine import Session
from bitparity.model.types import Model
from bitparity.runs import file_digest

if TYPE_CHECKING:
    from bitparity.compare.blame import BlameReport

Sessions = tuple[Session, Session]


def compare(
    comparison: Comparison,
    *,
    limit: float | None = None,
    blame: bool = False,
    on_blame: Callable[[BlameReport], None] | None = None,
    sessions: Sessions | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare every position and judge it.

    limit     judge by this limit on 1 - cosine; None judges by the noise of the reference, which is measured
              unless every position agrees to the rounding of float32 sums
    blame     also judge every stage of both engines; a stage that is wrong is a divergence however small
    on_blame  called with the whole report of the stages, of which the result keeps the data
    sessions  reference and candidate, open already; opened here if None

    Raises as comparison.measure does.
    """
    with ThreadPoolExecutor(1) as aside:  # the digests that results carry, while engines open the files
        for side in (comparison.reference, comparison.candidate):
            aside.submit(file_digest, side.model.path)
        if sessions is None:
            measured = measure(comparison, progress)
        else:
            measured = measure_sessions(comparison, *sessions, progress)
    if limit is not None:
        result = conclude(comparison, measured, FixedLimit(limit))
    else:
        result = conclude(comparison, measured, Exactness())
        if result.verdict is Verdict.DIVERGED:
            floor = find_noise(comparison, [[r.token for r in records] for records in measured.records])
            result = replace(
                conclude(comparison, measured, MeasuredNoise(floor)), noise_floor=floor.as_dict()
            )
    if not blame or result.verdict is Verdict.ENGINE_FAILED:
        return result
    report = _blame(comparison, measured, result.first_divergence, sessions)
    if on_blame is not None:
        on_blame(report)
    result = replace(result, blame=report.as_dict())
    if report.is_guilty and result.verdict in (Verdict.AGREE, Verdict.NOISE):
        result = replace(result, verdict=Verdict.DIVERGED, exit_code=1)
    return result


def conclude(comparison: Comparison, measured: Measured, criterion: Criterion) -> ComparisonResult:
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
        failure=measured.failure,
        seconds=round(measured.seconds, 3),
        command=comparison.command,
    )
    return result.judged_by(criterion)


def find_noise(comparison: Comparison, tokens: Sequence[Sequence[int]]) -> NoiseFloor:
    """The reference's noise on the tokens that it ran, on MAX_POSITIONS or so; a recording has its own."""
    from bitparity.compare.noise import MAX_POSITIONS, measure_noise

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


def _blame(
    comparison: Comparison, measured: Measured, first: PositionResult | None, sessions: Sessions | None
) -> BlameReport:
    """Judge the stages of the prompt that diverged first, or of the first one."""
    from bitparity.compare.bisect import blame_sessions

    tokens = [record.token for record in measured.records[first.prompt if first else 0]]
    opened: AbstractContextManager[Sessions]
    opened = open_sides(comparison) if sessions is None else nullcontext(sessions)
    with opened as (reference, candidate):
        return blame_sessions(comparison.meant, reference, candidate, tokens, comparison.chunking)


def _model_file(model: Model) -> ModelFile:
    return ModelFile(str(model.path), file_digest(model.path))
