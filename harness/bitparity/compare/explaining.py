"""What the difference of a run is: asked of the oracle on the run itself, or on small models of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bitparity.compare.comparison import Comparison, Sessions
from bitparity.compare.comparison import Side as OpenedBy
from bitparity.compare.large import explain_large, probe_small
from bitparity.compare.recording import RecordedEngine
from bitparity.compare.sample import Sample
from bitparity.errors import BitparityError
from bitparity.fit.explanation import Explanation, Side, explain, is_too_large, median_distance
from bitparity.fit.found import Probed
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.processors import one_blas_thread


@one_blas_thread()
def explain_run(
    comparison: Comparison, sessions: Sessions, models: tuple[Model, Model], sample: Sample
) -> Explanation | None:
    """What both engines compute, fitted; None for a recording of a model that is too large for the oracle.

    models  that the reference and the candidate have open

    Raises as sessions do.
    """
    sides = comparison.reference, comparison.candidate
    is_recorded = [isinstance(side.engine, RecordedEngine) for side in sides]  # such a one runs nothing else
    if not is_too_large(comparison.meant):
        reference, candidate = (
            Side(session, session.info.fingerprint, comparison.meant, partial(_probed, comparison, side))
            if not recorded
            else Side(None, session.info.fingerprint, comparison.meant)
            for side, recorded, session in zip(sides, is_recorded, sessions, strict=True)
        )
        return explain((reference, candidate), models, sample)
    if any(is_recorded):
        return None
    return explain_large(comparison, median_distance(sample))


def _probed(comparison: Comparison, side: OpenedBy, among: Sequence[Arithmetic]) -> Probed | None:
    """What small models of its kind say of an engine; None where it does not run them."""
    try:
        sheet = probe_small(comparison, side, among)
    except BitparityError:
        return None
    wrong = [(stage, reading.mistake) for reading in sheet.wrong for _, stage in reading.at]
    return Probed(
        arithmetics=(sheet.arithmetic, *sheet.undecided),
        possible={line.axis: (line.option, *line.others, *line.alike) for line in sheet.lines if line.said},
        is_sound=sheet.exit_code == 0,
        wrong=tuple(dict.fromkeys(wrong)),
    )
