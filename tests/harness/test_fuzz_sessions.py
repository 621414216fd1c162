"""Random ways through a session: a correct engine survives, one with a stale cache does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bitparity.engine import Floats
from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.contracts.base import Contract
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.runner import Outcome, Target, search
from bitparity.fuzz.sessions import (
    CONTEXT,
    EngineUnderTest,
    SessionCase,
    Step,
    engine_under_test,
    engines,
    largest_relative_l2,
    walk,
)
from bitparity.registry import get_engine, with_every_kernel_set
from bitparity.settings import read_settings

WAYS = CONTRACTS["every_way_gives_the_straight_prefill"]
UNDONE = CONTRACTS["nothing_undone_leaves_a_trace"]


def _search(subject: Implementation, contract: Contract = WAYS, examples: int = 60) -> Outcome:
    try:
        return search(Target(contract, "I2_S", subject), examples=examples, seed=0)
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


@pytest.mark.parametrize("contract", [WAYS, UNDONE], ids=lambda contract: contract.name)
def test_engine_without_memory_of_its_way_survives(fake_engine: Any, contract: Contract) -> None:
    outcome = _search(engine_under_test(fake_engine()), contract)
    assert outcome.counterexample is None
    assert outcome.examples == 60


@pytest.mark.parametrize("contract", [WAYS, UNDONE], ids=lambda contract: contract.name)
def test_rollback_that_forgets_one_token_too_few_is_found(fake_engine: Any, contract: Contract) -> None:
    def keep_one(session: Any) -> None:
        rollback = session.rollback
        session.rollback = lambda to: rollback(to if to == 0 else min(to + 1, session.position))

    found = _search(engine_under_test(_opening(fake_engine(), keep_one)), contract).counterexample
    assert found is not None
    assert any(step == "rollback" for step, _ in found.case.steps)


def _after_a_rollback(session: Any, altered: Any) -> None:
    """Change what the session decodes once it has been rolled back to another position than 0."""
    rollback, decode, dirty = session.rollback, session.decode, [False]

    def remember(to: int) -> None:
        dirty[0] = to > 0
        rollback(to)

    session.rollback = remember
    session.decode = lambda token, **o: altered(decode(token, **o)) if dirty[0] else decode(token, **o)


def test_trace_of_a_rollback_is_found_however_small_beside_the_noise(fake_engine: Any) -> None:
    def noisy(session: Any) -> None:
        decode = session.decode
        session.decode = lambda token, **o: decode(token, **o) * np.float32(1.01)
        _after_a_rollback(session, lambda row: row * np.float32(1 + 1e-6))

    subject = engine_under_test(_opening(fake_engine(), noisy))
    assert _search(subject).counterexample is None
    found = _search(engine_under_test(_opening(fake_engine(), noisy)), UNDONE).counterexample
    assert found is not None
    assert any(step == "rollback" for step, _ in found.case.steps)


def test_engine_whose_repetitions_differ_is_given_their_noise(fake_engine: Any) -> None:
    def unsteady(session: Any) -> None:
        rng, prefill, decode = np.random.default_rng(0), session.prefill, session.decode

        def shaken(rows: Floats) -> Floats:
            return rows * np.float32(1 + 1e-6 * rng.uniform(-1, 1))

        session.prefill = lambda tokens, **o: shaken(prefill(tokens, **o))
        session.decode = lambda token, **o: shaken(decode(token, **o))

    subject = engine_under_test(_opening(fake_engine(), unsteady))
    assert 0 < subject.run("session", "I2_S").repeat_noise("I2_S") < 1e-5
    assert _search(subject, UNDONE).counterexample is None


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ((("prefill", 9), ("rollback", 3), ("decode", 1)), (("prefill", 6), ("decode", 1))),
        ((("decode", 1), ("prefill", 4), ("rollback", 4)), (("decode", 1),)),
        ((("prefill", 4), ("rollback", 3)), (("prefill", 2), ("rollback", 1))),
        ((("prefill", 1), ("reset", 0), ("prefill", 1)), (("prefill", 1),)),
        ((("prefill", 63), ("prefill", 5), ("decode", 1)), (("prefill", 63), ("prefill", 1))),
        ((("prefill", 3), ("reset", 0)), ()),
    ],
)
def test_what_was_undone_is_left_out(steps: tuple[Step, ...], left: tuple[Step, ...]) -> None:
    assert SessionCase(0, steps).without_what_was_undone().steps == left


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
    steps: tuple[Step, ...] = (
        ("rollback", 5),
        ("prefill", CONTEXT + 9),
        ("decode", 1),
        ("rollback", 2),
        ("decode", 1),
    )
    seen = walk(fake_session(context=CONTEXT), SessionCase(0, steps))
    assert [position for position, _ in seen] == [*range(CONTEXT), CONTEXT - 2]


def test_largest_relative_l2_of_nan_is_nan() -> None:
    rows = np.array([[1, 1], [np.nan, 1], [1, 1]])
    assert np.isnan(largest_relative_l2(np.ones((3, 2)), rows))


@pytest.fixture(scope="module")
def every_native() -> Iterator[list[Implementation]]:
    """native with every kernel set of this CPU, best first."""
    subjects = [s for s in engines(read_settings()) if s.name.startswith("native/")]
    if not subjects:
        pytest.skip("the native core is not built")
    yield subjects
    for subject in subjects:
        subject.close()


def test_sessions_are_searched_with_every_kernel_set(every_native: list[Implementation]) -> None:
    names = [subject.name for subject in every_native]
    assert names == list(with_every_kernel_set(get_engine("native")))
    assert names[-1] == "native/portable"
    for subject in every_native:
        opened: EngineUnderTest = subject.run("session", "I2_S")
        assert subject.name == f"native/{opened.session('I2_S').info.fingerprint.kernels}"


@pytest.mark.parametrize("name", WAYS.formats)
@pytest.mark.parametrize("contract", [WAYS, UNDONE], ids=lambda contract: contract.name)
def test_native_sessions_keep_their_contracts(
    every_native: list[Implementation], contract: Contract, name: str
) -> None:
    """With the best kernel set; tests/native/test_session.py walks with the others, the same to the bit."""
    native = every_native[0]
    if not native.has("session", name):
        pytest.skip(f"native has no kernels for {name}")
    outcome = search(Target(contract, name, native), examples=15, seed=0)
    assert outcome.counterexample is None, outcome.counterexample
    opened: EngineUnderTest = native.run("session", name)
    assert np.isfinite(opened.noise(name))
    assert opened.repeat_noise(name) == 0
