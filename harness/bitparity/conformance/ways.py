"""Checks of the ways to a position: whatever they are, its logits are the same, to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitparity.compare.metrics import relative_l2
from bitparity.conformance.calls import EXACT
from bitparity.conformance.check import check
from bitparity.conformance.subject import Diary, Subject
from bitparity.engine import Floats
from bitparity.errors import EngineFailed
from bitparity.formats import MODEL_FORMATS
from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.contracts.base import Contract
from bitparity.fuzz.contracts.sessions import NOISE_FACTOR
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.runner import Target, search
from bitparity.fuzz.sessions import SessionsUnderTest
from bitparity.fuzz.violation import Violation, expect
from bitparity.noise.criterion import EXACTNESS

LENGTH = 48  # positions that are compared: more than one block of every kernel that is known
EXAMPLES = 12  # random ways


@check
def decode_is_prefill(subject: Subject) -> str:
    """Tokens one by one give the logits of one prompt, to rounding."""
    return _same(subject, *_ways(subject, [1] * LENGTH), "one token at a time")


@check
def chunks_are_prefill(subject: Subject) -> str:
    """A prompt in chunks gives the logits of one prompt, to rounding."""
    return _same(subject, *_ways(subject, [7] * 6 + [6]), "in chunks of 7")


@check
def last_is_last(subject: Subject) -> str:
    """Asked for the logits of the last position only, a prompt gives the last row of all, to rounding."""
    session, ids = subject.session(), subject.text(9)
    every = session.prefill(ids)[-1:].copy()
    session.rollback(0)
    return _same(subject, every, session.prefill(ids, logits="last"), "the last position only")


@check
def threads(subject: Subject) -> str:
    """Many threads give the logits of one, to rounding, and the same again and again."""
    ids = subject.text(LENGTH)
    one = subject.session().prefill(ids).copy()
    many = subject.session("many", threads=subject.threads)
    runs = []
    for _ in range(4):
        many.rollback(0)
        runs.append(many.prefill(ids).copy())
    again = [_same(subject, runs[0], rows, f"{subject.threads} threads again") for rows in runs[1:]]
    unlike = _same(subject, one, runs[0], f"{subject.threads} threads instead of one")
    return f"{subject.threads} against one: {unlike}; again: {max(again, key=len)}"


@check
def rollback(subject: Subject) -> str:
    """What was rolled back leaves no trace: the bits are those of the calls that are left (or as near as the
    same call is to itself in a longer prompt)."""
    sessions = _Sessions(subject)
    repeat_noise = sessions.repeat_noise(_ANY)
    _search(subject, CONTRACTS["nothing_undone_leaves_a_trace"], sessions)
    how = (
        EXACT if repeat_noise == 0 else f"within {NOISE_FACTOR} times its repeat noise of {repeat_noise:.2g}"
    )
    return f"{how}, on {EXAMPLES} random ways"


@check
def random_ways(subject: Subject) -> str:
    """Whatever prompts, single tokens, rollbacks and new beginnings lead to a position, its logits are those
    of one prompt, to rounding."""
    _search(subject, CONTRACTS["every_way_gives_the_straight_prefill"], _Sessions(subject))
    return f"on {EXAMPLES} random ways"


def _ways(subject: Subject, sizes: Sequence[int]) -> tuple[Floats, Floats]:
    """Logits of one prompt, and of the same in calls of these sizes."""
    session, ids = subject.session(), subject.text(LENGTH)
    expected = session.prefill(ids).copy()
    session.rollback(0)
    return expected, np.concatenate([_run(session, ids, size).copy() for size in sizes])


def _run(session: Diary, ids: Sequence[int], size: int) -> Floats:
    first = session.position
    return session.decode(ids[first])[None] if size == 1 else session.prefill(ids[first : first + size])


def _same(subject: Subject, expected: Floats, actual: Floats, what: str) -> str:
    """How equal they are; raises Violation where rounding does not explain the difference."""
    expect(actual.shape == expected.shape, f"{what}: logits {actual.shape} instead of {expected.shape}")
    if np.array_equal(expected.view(np.uint32), actual.view(np.uint32)):
        return EXACT
    errors = [relative_l2(*rows) for rows in zip(expected, actual, strict=True)]
    worst = float(np.max(errors))
    if worst <= EXACTNESS:
        return f"to {worst:.1g}, another order of sums"
    limit = subject.limit
    if worst <= limit:
        return f"to {worst:.1g}, where rounding explains {limit:.1g}"
    first = next(i for i, error in enumerate(errors) if not (error <= limit))
    expect(
        False,
        f"{what}: {sum(not (e <= limit) for e in errors)} of {len(errors)} positions differ, from position "
        f"{first} on; the worst by {worst:.2g} relative L2, rounding explains {limit:.1g}",
    )
    raise AssertionError("unreachable")


_ANY = MODEL_FORMATS[0]  # the contracts ask for the name of a format; here there is one model whatever it is


class _Sessions(SessionsUnderTest):
    """Those of one subject, with the noise that was measured on its own model."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(lambda weight_format, use: subject.session(use))
        self._subject = subject

    def noise(self, weight_format: str) -> float:
        return self._subject.limit / NOISE_FACTOR


def _search(subject: Subject, contract: Contract, sessions: SessionsUnderTest) -> None:
    """Try random ways; raises Violation for the shortest that breaks the contract, or what the engine did."""
    failed: list[EngineFailed] = []

    def keep(case: Any, name: str, implementation: Implementation) -> None:
        if failed:  # an engine that died is not made to die again for a shorter case
            return
        subject.begin()
        try:
            contract.check(case, name, implementation)
        except EngineFailed as error:
            failed.append(error)
            raise

    give = Implementation(subject.engine.name, {("session", _ANY): lambda: sessions})
    target = Target(replace(contract, check=keep), _ANY, give)
    found = search(target, examples=EXAMPLES, seed=subject.settings.seed).counterexample
    if failed:
        raise failed[0]
    if found is not None:
        subject.begin()
        contract.check(found.case, _ANY, give)
        raise Violation(f"{found.message}; but not when it was tried again")
