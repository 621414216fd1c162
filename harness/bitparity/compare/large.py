"""Why two engines differ on a model too large for the oracle: each is probed on small ones of its kind.

The oracle cannot compute the run itself, so no position of it is explained; but what each engine computes is
known, and how they differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitparity.compare.comparison import Comparison, Side
from bitparity.errors import BitparityError
from bitparity.fit.explanation import Explanation
from bitparity.fit.found import Fit
from bitparity.fit.words import clauses
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.probe.run import probe
from bitparity.probe.sheet import Sheet


def explain_large(comparison: Comparison, apart: float) -> Explanation | None:
    """What reference and candidate compute, on two small blocks of the architecture and formats of its file.

    apart  median relative L2 of the two engines on the run itself
    Returns None when one of them does not run such small models: then nothing was learnt.
    """
    sides = comparison.reference, comparison.candidate
    try:
        expected, actual = (_fit_of(probe_small(comparison, side)) for side in sides)
    except BitparityError:
        return None
    return Explanation(
        expected=expected,
        actual=actual,
        differ=tuple(clauses(actual.arithmetic, expected.arithmetic)),
        apart=apart,
        exact=frozenset(),
        flipped=frozenset(),
        sampled=frozenset(),
    )


def probe_small(comparison: Comparison, side: Side, among: Sequence[Arithmetic] = ()) -> Sheet:
    """Probe an engine of a run on small models of the kind of its file.

    among  arithmetics that are tried; empty tries all

    Raises NotCompared and EngineFailed as `probe` does.
    """
    return probe(
        side.engine,
        comparison.settings,
        like=side.model,
        in_its_shapes=False,
        among=among,
        threads=comparison.threads,
        device_id=side.device_id,
    )


def _fit_of(sheet: Sheet) -> Fit:
    """What a sheet says, as a fit of the engine's logits."""
    worst = max((r.residual for r in sheet.readings if r.fits or r.mistake), default=0.0)
    not_given = [*sheet.wrong, *sheet.unknown]
    wrong = [reading for reading in not_given if reading.mistake]
    return Fit(
        engine=sheet.engine,
        arithmetic=sheet.arithmetic,
        fits=not not_given,
        is_stated=sheet.statement_holds,
        exact=sum(reading.given for reading in sheet.readings),
        positions=sum(reading.positions for reading in sheet.readings),
        residual=worst if not not_given or wrong else max(r.residual for r in not_given),
        undecided=sheet.undecided,
        mistake=wrong[0].mistake if wrong else "",
        at=tuple(dict.fromkeys(stage for _, stage in wrong[0].at)) if wrong else (),
        as_defined=wrong[0].as_defined if wrong else 0.0,
    )
