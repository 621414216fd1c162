"""Greedy generation, token by token, with any session."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from bitparity.engine import Floats, Session


class StreamedToken(NamedTuple):
    """A generated token.

    token   its id
    piece   the text that it completes: bytes of an unfinished character wait for the rest of it, and the
            token that ends a text has none
    logits  (n_vocab,) float32, that it was chosen from
    """

    token: int
    piece: str
    logits: Floats


class Decoder(Protocol):
    """What `stream` needs of a tokenizer; bitparity.Tokenizer has it."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes: ...


def stream(
    session: Session,
    tokens: Sequence[int],
    *,
    max_tokens: int = 32,
    ends: Collection[int] = (),
    tokenizer: Decoder | None = None,
) -> Iterator[StreamedToken]:
    """Run tokens, then yield the best next token, which is fed back before the one after it is asked for.

    max_tokens  to yield at most; the last one is not run
    ends        ids behind which it stops
    tokenizer   that makes text of ids; the session's own when None

    Raises what prefill, decode and detokenize of the session raise.
    """
    complete = _own_text(session) if tokenizer is None else _text_of(tokenizer)
    row = session.prefill(tokens, logits="last")[-1]
    for step in range(max_tokens):
        token = int(np.argmax(row))
        is_end, is_last = token in ends, step + 1 == max_tokens
        yield StreamedToken(token, complete([] if is_end else [token], is_end or is_last), row)
        if is_end or is_last:
            return
        row = session.decode(token)


def _text_of(tokenizer: Decoder) -> Callable[[list[int], bool], str]:
    """Turns the next ids into the text that they complete."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return lambda ids, final: decoder.decode(tokenizer.decode_bytes(ids), final)


def _own_text(session: Session) -> Callable[[list[int], bool], str]:
    """The same by the session.  Only the text of all ids is whole: an engine may strip a leading space."""
    all_ids: list[int] = []
    given = ""

    def complete(ids: list[int], final: bool) -> str:
        nonlocal given
        all_ids.extend(ids)
        text = session.detokenize(all_ids)
        if not final:
            text = text.rstrip("\ufffd")  # stands for the bytes of an unfinished character
        piece, given = text[len(given) :], max(text, given, key=len)
        return piece

    return complete
