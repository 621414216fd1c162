"""Checks of what has to be refused: with an error, and with nothing changed by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bitparity.conformance.calls import expect_same_bits
from bitparity.conformance.check import check
from bitparity.conformance.subject import Diary, Subject
from bitparity.errors import BitparityError
from bitparity.fuzz.violation import expect


@check
def wrong_ids(subject: Subject) -> str:
    """A token id outside the vocabulary is refused, and the session goes on as if it had not been asked."""
    n_vocab = subject.model.hyper.n_vocab
    for token in (-1, n_vocab, 2**31 - 1):
        _expect_refusal(subject, f"token id {token}", partial(Diary.decode, token=token))
        prompt = partial(Diary.prefill, tokens=[5, token, 6])
        _expect_refusal(subject, f"token id {token} in a prompt", prompt)
    return f"-1, {n_vocab} and 2147483647 are refused, and nothing is changed"


@check
def too_long(subject: Subject) -> str:
    """A prompt that fills the context is run; one token more is refused, and nothing is changed."""
    session = subject.session()
    context = session.info.context
    ids = [subject.text()[i % 64] for i in range(context + 1)]
    for first in (0, context // 2):
        session.rollback(0)
        if first:
            session.prefill(ids[:first])
        try:
            session.prefill(ids[first:context])
        except BitparityError as error:
            expect(False, f"{context - first} tokens at position {first} of {context} are refused: {error}")
        _refused(session, f"a token at position {context}", partial(Diary.decode, token=ids[context]))
    _expect_refusal(subject, f"a prompt of {context + 1} tokens", partial(Diary.prefill, tokens=ids))
    return f"{context} positions are there, and one more is refused"


@check
def nothing_and_nowhere(subject: Subject) -> str:
    """A prompt without tokens is refused, and a rollback to a position that the session does not hold."""
    _expect_refusal(subject, "a prompt without tokens", partial(Diary.prefill, tokens=[]))
    _expect_refusal(subject, "rollback to 3 of 2 positions", partial(Diary.rollback, to=3))
    _expect_refusal(subject, "rollback to -1", partial(Diary.rollback, to=-1))
    return "an empty prompt, and rollbacks ahead and before 0"


def _expect_refusal(subject: Subject, what: str, call: Callable[[Diary], object]) -> None:
    """Raise Violation unless the call is refused after two tokens, and the next are run as without it."""
    session, ids = subject.session(), subject.text(4)
    session.prefill(ids[:2])
    expected = session.prefill(ids[2:]).copy()
    session.rollback(0)
    session.prefill(ids[:2])
    _refused(session, what, call)
    expect(session.position == 2, f"after {what} was refused the session is at {session.position}, not at 2")
    expect_same_bits(expected, session.prefill(ids[2:]), f"after {what} was refused")


def _refused(session: Diary, what: str, call: Callable[[Diary], object]) -> None:
    try:
        call(session)
    except BitparityError:  # if that was the end of the session, its next call says so
        return
    expect(False, f"{what} is taken without an error")
