"""Contracts of sessions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bitparity.compare.metrics import relative_l2
from bitparity.formats import MODEL_FORMATS
from bitparity.fuzz.contracts.base import contract
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.sessions import SessionCase, SessionsUnderTest, Step, walk
from bitparity.fuzz.violation import expect

# The noise of one text scatters around that of another; a wrong cache is off by the size of the logits (1).
NOISE_FACTOR = 10


def session_cases(weight_format: str) -> SearchStrategy[SessionCase]:
    """Moves: tokens forward, then up to two steps back, so that there is mostly something to undo."""
    forward: SearchStrategy[Step] = st.one_of(
        st.tuples(st.just("prefill"), st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33])),
        st.tuples(st.just("decode"), st.just(1)),
    )
    back: SearchStrategy[Step] = st.sampled_from(
        [("rollback", 1), ("rollback", 2), ("rollback", 3), ("rollback", 8), ("reset", 0)]
    )
    moves = st.lists(st.tuples(forward, st.lists(back, max_size=2)), min_size=1, max_size=8)
    steps = moves.map(lambda chosen: tuple(step for ahead, undo in chosen for step in (ahead, *undo)))
    return st.builds(SessionCase, seed=st.integers(0, 15), steps=steps)


@contract("sessions", ("session",), MODEL_FORMATS, session_cases)
def every_way_gives_the_straight_prefill(case: SessionCase, name: str, subject: Implementation) -> None:
    """Any prefills, decodes, rollbacks and resets leave the logits of one straight prefill, to the engine's
    noise."""
    opened: SessionsUnderTest = subject.run("session", name)
    limit = NOISE_FACTOR * opened.noise(name)
    session = opened.session(name)
    seen = walk(session, case)
    if not seen:
        return
    length = max(position for position, _ in seen) + 1
    session.rollback(0)
    straight = session.prefill(case.tokens(session.info.n_vocab)[:length])
    for position, logits in seen:
        expect(bool(np.isfinite(logits).all()), f"{name}: logits at position {position} are not finite")
        error = relative_l2(straight[position], logits)
        expect(
            error <= limit,
            f"{name}: position {position} differs by {error:.3g} relative L2, noise {limit:.3g}",
        )


@contract("sessions", ("session",), MODEL_FORMATS, session_cases)
def nothing_undone_leaves_a_trace(case: SessionCase, name: str, subject: Implementation) -> None:
    """What was rolled back leaves no trace: the logits are those of a session that only made the calls that
    are left, exactly, or to the noise of an engine whose own repetitions differ."""
    opened: SessionsUnderTest = subject.run("session", name)
    limit = NOISE_FACTOR * opened.repeat_noise(name)
    clean = opened.clean_session(name)
    left = dict(walk(clean, case.without_what_was_undone()))
    seen = dict(walk(opened.session(name), case))
    for position in range(clean.position):
        error = relative_l2(left[position], seen[position])
        expect(
            error <= limit,
            f"{name}: position {position} differs by {error:.3g} relative L2 from the calls that are left, "
            f"repetitions by {limit:.3g}",
        )
