"""How far rounding alone moves the reference along a corpus.

A verdict compares the worst position with the worst that the noise does, and many positions meet larger
differences by chance than few.  So the noise is measured at a sixteenth of the positions that are judged, in
windows from the whole corpus: with the floor of 128 positions, two sound engines stay within the limits over
2,000 (noise/measure.py), but not over 20,000 (llama.cpp and bitnet.cpp on TQ1_0: 11 positions were beyond).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Side
from bitparity.compare.positions import compare_positions
from bitparity.corpus.windows import Plan
from bitparity.engine import Session
from bitparity.noise.floor import Levels, SelfComparison
from bitparity.noise.perturb import STEPS, perturbed
from bitparity.runs import open_session
from bitparity.settings import Settings

JUDGED_PER_SAMPLED = 16
MOST_WINDOWS = 256
SEED = 0


def noise_along(
    session: Session,
    side: Side,
    plan: Plan,
    chunking: Chunking,
    *,
    settings: Settings,
) -> SelfComparison:
    """The reference against itself with moved norms, at the scored positions of evenly spaced windows.

    session  of the reference, which is `side`; one more session is open meanwhile

    Raises as the sessions do.
    """
    with (
        perturbed(side.engine, side.model, SEED) as what,
        open_session(
            *what,
            context=session.info.context,
            settings=settings,
            threads=session.info.fingerprint.threads or None,
            device_id=side.device_id,
        ) as moved,
    ):
        levels = tuple(_levels(session, moved, plan, chunking))
    return SelfComparison("rounding", f"along the corpus, norms moved by {STEPS} float32 steps", levels, {})


def sampled_windows(plan: Plan) -> list[int]:
    """Which windows are run: enough for a sixteenth of the positions, evenly spaced."""
    windows = len(plan.starts)
    count = min(-(-windows // JUDGED_PER_SAMPLED), MOST_WINDOWS)
    return [int(index) for index in np.linspace(0, windows - 1, count).round()]


def _levels(session: Session, moved: Session, plan: Plan, chunking: Chunking) -> Iterator[Levels]:
    for index in sampled_windows(plan):
        window = plan.at(index)
        tokens = [int(token) for token in window.tokens]
        for record in compare_positions(session, moved, tokens, chunking):
            if record.position >= window.first:
                yield Levels.of(record.metrics)
