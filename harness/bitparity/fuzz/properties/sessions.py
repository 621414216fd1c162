"""Contracts of sessions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.properties.base import contract
from bitparity.fuzz.sessions import CONTEXT, FORMATS, EngineUnderTest, SessionCase, Step, relative_l2, walk
from bitparity.fuzz.violation import expect

# The noise of one text scatters around that of another; a wrong cache is off by the size of the logits (1).
NOISE_FACTOR = 10


def session_cases(weight_format: str) -> SearchStrategy[SessionCase]:
    steps: SearchStrategy[Step] = st.one_of(
        st.tuples(st.just("prefill"), st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33])),
        st.tuples(st.just("decode"), st.just(1)),
        st.tuples(st.just("rollback"), st.sampled_from([0, 1, 2, 3, 8, CONTEXT])),
        st.tuples(st.just("reset"), st.just(0)),
    )
    return st.builds(
        SessionCase, seed=st.integers(0, 15), steps=st.lists(steps, min_size=1, max_size=10).map(tuple)
    )


@contract("sessions", ("session",), FORMATS, session_cases)
def every_way_gives_the_straight_prefill(case: SessionCase, name: str, subject: Implementation) -> None:
    """Any prefills, decodes, rollbacks and resets leave the logits of one straight prefill, to the engine's
    noise."""
    opened: EngineUnderTest = subject.run("session", name)
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
        error = relative_l2(straight[position][None], logits[None])
        expect(
            error <= limit,
            f"{name}: position {position} differs by {error:.3g} relative L2, noise {limit:.3g}",
        )
