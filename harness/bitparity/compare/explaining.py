"""What the difference of a run is: asked of the oracle on the run itself, or on small models of its kind."""

from __future__ import annotations

from bitparity.compare.comparison import Comparison, Sessions
from bitparity.compare.large import explain_large
from bitparity.compare.recording import RecordedEngine
from bitparity.compare.sample import Sample
from bitparity.fit.explanation import Explanation, Side, explain, is_too_large, median_distance
from bitparity.model.types import Model


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
            Side(None if recorded else session, session.info.fingerprint, comparison.meant)
            for recorded, session in zip(is_recorded, sessions, strict=True)
        )
        return explain((reference, candidate), models, sample)
    if any(is_recorded):
        return None
    return explain_large(sides, comparison.settings, median_distance(sample), threads=comparison.threads)
