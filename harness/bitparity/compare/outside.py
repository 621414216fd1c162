"""What copies of the model at hand say of an engine that records no stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitparity.blame.engines import BlameReport, EngineBlame, Outside
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.recording import RecordedEngine
from bitparity.engine import ModelInfo
from bitparity.errors import BitparityError
from bitparity.probe.sheet import words_of
from bitparity.probe.surgery import operate, why_not


def with_outside(
    report: BlameReport, comparison: Comparison, candidate: ModelInfo, tokens: Sequence[int]
) -> BlameReport:
    """The report with what was read from outside of each engine that records no stages, if it can be read."""
    if candidate.most_probable is not None:
        return report
    return replace(
        report,
        expected=_read(report.expected, comparison, comparison.reference, tokens),
        actual=_read(report.actual, comparison, comparison.candidate, tokens),
    )


def _read(judged: EngineBlame, comparison: Comparison, side: Side, tokens: Sequence[int]) -> EngineBlame:
    runs_nothing_else = isinstance(side.engine, RecordedEngine)
    if judged.stages or judged.not_judged or runs_nothing_else or why_not(side.model) is not None:
        return judged
    try:
        sheet = operate(
            side.engine,
            comparison.settings,
            side.model,
            tokens,
            meant=None if side.model.path == comparison.meant.path else comparison.meant,
            threads=comparison.threads,
            device_id=side.device_id,
        )
    except BitparityError:  # it does not take the copies, which says nothing of the run
        return judged
    parts = tuple((words_of(reading), reading.suspects) for reading in sheet.readings)
    return replace(judged, outside=Outside(sheet.sentence, bool(sheet.wrong), sheet.arithmetic.name, parts))
