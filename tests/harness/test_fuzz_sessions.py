"""Random ways through a session: a correct engine survives, one with a stale cache does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bitparity.engine import get_engine
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.properties import PROPERTIES
from bitparity.fuzz.runner import Outcome, Target, search
from bitparity.fuzz.sessions import (
    CONTEXT,
    EngineUnderTest,
    SessionCase,
    engine_under_test,
    relative_l2,
    walk,
)

WAYS = PROPERTIES["every_way_gives_the_straight_prefill"]


def _search(subject: Implementation, examples: int = 60) -> Outcome:
    try:
        return search(Target(WAYS, "I2_S", subject), examples=examples, seed=0)
    finally:
        subject.close()


def _opening(engine: Any, change: Any) -> Any:
    """The engine with every session changed after it is opened."""
    open_session = engine.open

    def open_changed(*args: Any, **options: Any) -> Any:
        session = open_session(*args, **options)
        change(session)
        return session

    engine.open = open_changed
    return engine


def test_engine_without_memory_of_its_way_survives(fake_engine: Any) -> None:
    outcome = _search(engine_under_test(fake_engine()))
    assert outcome.counterexample is None
    assert outcome.examples == 60


def test_rollback_that_forgets_one_token_too_few_is_found(fake_engine: Any) -> None:
    def keep_one(session: Any) -> None:
        rollback = session.rollback
        session.rollback = lambda to: rollback(to if to == 0 else min(to + 1, session.position))

    found = _search(engine_under_test(_opening(fake_engine(), keep_one))).counterexample
    assert found is not None
    assert any(step == "rollback" for step, _ in found.case.steps)


def test_prefill_that_differs_from_position_17_on_is_found_and_shrunk(fake_engine: Any) -> None:
    def two_batches(session: Any) -> None:
        prefill = session.prefill
        session.prefill = lambda tokens, **o: (
            prefill(tokens, **o) * np.float32(1 if len(tokens) <= 33 else 1.5)
        )

    found = _search(engine_under_test(_opening(fake_engine(), two_batches))).counterexample
    assert found is not None
    assert "relative L2" in found.message


def test_logits_that_are_not_finite_are_found(fake_engine: Any) -> None:
    subject = engine_under_test(
        fake_engine(alter=lambda position, row: row * np.nan if position == 3 else row)
    )
    assert _search(subject).counterexample is not None


def test_walk_cuts_steps_at_the_context_and_at_the_start(fake_session: Any) -> None:
    steps = (("rollback", 5), ("prefill", CONTEXT + 9), ("decode", 1), ("rollback", 2), ("decode", 1))
    seen = walk(fake_session(context=CONTEXT), SessionCase(0, steps))
    assert [position for position, _ in seen] == [*range(CONTEXT), CONTEXT - 2]


def test_relative_l2_of_nan_is_nan() -> None:
    assert np.isnan(relative_l2(np.ones((1, 2)), np.array([[np.nan, 1]])))


@pytest.fixture(scope="module")
def native() -> Iterator[Implementation]:
    engine = get_engine("native") if _native_is_built() else None
    if engine is None or not engine.availability().found:
        pytest.skip("the native core is not built")
    subject = engine_under_test(engine)
    yield subject
    subject.close()


def _native_is_built() -> bool:
    try:
        import bitparity_native._core  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("name", WAYS.formats)
def test_native_sessions_give_the_straight_prefill_whatever_their_way(
    native: Implementation, name: str
) -> None:
    outcome = search(Target(WAYS, name, native), examples=15, seed=0)
    assert outcome.counterexample is None, outcome.counterexample
    opened: EngineUnderTest = native.run("session", name)
    assert np.isfinite(opened.noise(name))
