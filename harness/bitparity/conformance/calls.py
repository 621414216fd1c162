"""Checks of single calls: shapes, repeats, causality, two sessions at once."""

from __future__ import annotations

import numpy as np

from bitparity.compare.metrics import relative_l2
from bitparity.conformance.check import check
from bitparity.conformance.subject import Subject
from bitparity.engine import Floats
from bitparity.fuzz.violation import expect

EXACT = "to the bit"


def expect_same_bits(expected: Floats, actual: Floats, what: str) -> None:
    """Raise Violation, with the first row that differs and by how much, unless all bits are equal."""
    differs = np.any(np.atleast_2d(expected.view(np.uint32) != actual.view(np.uint32)), axis=1)
    if not differs.any():
        return
    row = int(np.argmax(differs))
    error = relative_l2(np.atleast_2d(expected)[row], np.atleast_2d(actual)[row])
    expect(
        False,
        f"{what}: {int(differs.sum())} of {len(differs)} positions differ, from position {row} on, "
        f"there by {error:.2g} relative L2",
    )


@check
def shapes(subject: Subject) -> str:
    """A prompt of n tokens gives float32 (n, n_vocab), a single token (n_vocab,); all finite logits;
    the session is then n and one positions further."""
    session = subject.session()
    n_vocab, ids = subject.model.hyper.n_vocab, subject.text(6)
    expect(session.info.n_vocab == n_vocab, f"n_vocab is {session.info.n_vocab}, in the file it is {n_vocab}")
    for rows in (session.prefill(ids[:5]), session.decode(ids[5])):  # whose shapes every caller is assured of
        expect(bool(np.isfinite(rows).all()), "logits are NaN or infinite")
    expect(session.position == 6, f"after 5 + 1 tokens the session is at {session.position}")
    return f"float32, {n_vocab:,} logits a position"


@check
def repeats(subject: Subject) -> str:
    """The same calls give the same bits: again in the same session, and in a new one; one thread."""
    session, ids = subject.session(), subject.text(12)
    first = session.prefill(ids).copy()
    session.rollback(0)
    expect_same_bits(first, session.prefill(ids), "the same prompt again")
    expect_same_bits(first, subject.new_session("new").prefill(ids), "the same prompt in a new session")
    return f"{EXACT}, in the same session and in a new one"


@check
def causality(subject: Subject) -> str:
    """Later tokens change nothing before them: two prompts of one length that begin alike give the same bits
    there."""
    session, ids, others = subject.session(), subject.text(16), subject.text(16, seed=1)
    for common in (1, 7, 15):
        session.rollback(0)
        expected = session.prefill(ids)[:common].copy()
        session.rollback(0)
        actual = session.prefill([*ids[:common], *others[common:]])[:common]
        expect_same_bits(expected, actual, f"other tokens after the first {common} of 16")
    return f"{EXACT}, with 1, 7 and 15 of 16 tokens in common"


@check
def two_sessions(subject: Subject) -> str:
    """Two sessions at once, called in turns, give the bits that each gives alone."""
    texts = {"one": subject.text(12), "other": subject.text(12, seed=1)}
    alone: dict[str, list[Floats]] = {}
    for name, ids in texts.items():
        session = subject.session(name)
        alone[name] = [session.prefill(ids[:8]).copy(), *(session.decode(i).copy() for i in ids[8:])]
    sessions = {name: subject.session(name) for name in texts}
    for call in range(5):
        for name, ids in texts.items():
            session = sessions[name]
            rows = session.prefill(ids[:8]) if call == 0 else session.decode(ids[7 + call])
            expect_same_bits(alone[name][call], rows, f"session {name}, call {call + 1}, beside the other")
    return f"{EXACT}, a prompt and four tokens of each in turns"


@check
def closing(subject: Subject) -> str:
    """A session closes without an error, after calls and without any."""
    for ids in ([], subject.text(4)):
        with subject.opened() as session:
            if ids:
                session.prefill(ids)
    return "after calls and without any"
