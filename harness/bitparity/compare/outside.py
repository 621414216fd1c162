"""What is said of an engine that records no stages: by its logits, or on copies of the model at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitparity.blame.engines import BlameReport, EngineBlame, Outside
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.recording import RecordedEngine
from bitparity.engine import ModelInfo
from bitparity.errors import BitparityError
from bitparity.fit.explanation import Explanation
from bitparity.fit.found import Fit
from bitparity.probe.sheet import words_of
from bitparity.probe.surgery import operate, why_not
from bitparity.stages import stage_named


def with_outside(
    report: BlameReport,
    comparison: Comparison,
    candidate: ModelInfo,
    tokens: Sequence[int],
    explanation: Explanation | None,
) -> BlameReport:
    """The report with what was read from outside of each engine that records no stages, if it can be read."""
    if candidate.most_probable is not None:
        return report
    expected, actual = (None, None) if explanation is None else (explanation.expected, explanation.actual)
    return replace(
        report,
        expected=_read(report.expected, comparison, comparison.reference, tokens, expected),
        actual=_read(report.actual, comparison, comparison.candidate, tokens, actual),
    )


def _read(
    judged: EngineBlame, comparison: Comparison, side: Side, tokens: Sequence[int], fit: Fit | None
) -> EngineBlame:
    if judged.stages or judged.not_judged:
        return judged
    if fit is not None and fit.mistake:
        return replace(judged, outside=_by_logits(fit))
    runs_nothing_else = isinstance(side.engine, RecordedEngine)
    if runs_nothing_else or why_not(side.model) is not None:
        return judged
    try:
        sheet = operate(
            side.engine,
            comparison.settings,
            side.model,
            tokens,
            meant=None if side.model.path == comparison.meant.path else comparison.meant,
            found=(fit.arithmetic, *fit.undecided) if fit is not None and fit.fits else (),
            threads=comparison.threads,
            device_id=side.device_id,
        )
    except BitparityError:  # it does not take the copies, which says nothing of the run
        return judged
    parts = tuple((words_of(reading), reading.suspects) for reading in sheet.readings)
    return replace(judged, outside=Outside(sheet.sentence, bool(sheet.wrong), sheet.arithmetic.name, parts))


def _by_logits(fit: Fit) -> Outside:
    """A mistake that is made in every layer is known from the run itself."""
    in_layers = any(stage_named(stage).in_block for stage in fit.at)
    said = f"{'every layer, ' if in_layers else ''}{', '.join(fit.at)}: it {fit.mistake}"
    return Outside(f"{fit.engine} is wrong: {said}", True, fit.arithmetic.name, ((said, fit.at),))
