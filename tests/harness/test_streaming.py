"""Streaming: greedy tokens with their logits and whole characters, from any session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bitparity import open_session, read_settings, stream
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.oracle.engine import OracleEngine
from bitparity.tokenizer import Tokenizer

Make = Callable[..., Any]


class Words:
    """A tokenizer whose next pieces are given."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.pieces.pop(0) for _ in ids)


def test_stream_feeds_the_best_token_back_and_gives_its_logits(fake_session: Make) -> None:
    session = fake_session()
    streamed = list(stream(session, [1, 2], max_tokens=3, tokenizer=Words(b"a", b"b", b"c")))
    expected = [1, 2]
    for one in streamed:
        row = fake_session().prefill(expected)[-1]
        np.testing.assert_array_equal(one.logits, row)
        assert one.token == int(np.argmax(row))
        expected.append(one.token)
    assert [one.piece for one in streamed] == ["a", "b", "c"]
    assert session.tokens == expected[:-1]  # the last one is not run for nothing


def test_stream_stops_behind_the_end_token_which_has_no_text(fake_session: Make) -> None:
    first, second = (s.token for s in stream(fake_session(), [1, 2], max_tokens=2, tokenizer=Words(b"", b"")))
    streamed = list(stream(fake_session(), [1, 2], ends={second}, tokenizer=Words(b"a\xc3")))
    assert [(one.token, one.piece) for one in streamed] == [(first, "a"), (second, "\ufffd")]


def test_half_a_character_waits_for_the_rest(fake_session: Make) -> None:
    words = Words(b"caf\xc3", b"\xa9 ", b"\xe2\x82", b"\xac", b"\xf0\x9f")
    pieces = [one.piece for one in stream(fake_session(), [1], max_tokens=5, tokenizer=words)]
    assert pieces == ["caf", "é ", "", "€", "\ufffd"]


def test_own_detokenizer_that_strips_a_leading_space_keeps_the_others(
    fake_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = fake_session()
    pieces = [" a", " b", "\ufffd", "é", " c"]

    def detokenize(ids: Sequence[int]) -> str:
        """The third and the fourth id are the halves of a character."""
        text = "".join(pieces[: len(ids)])
        return text.replace("\ufffdé", "é").removeprefix(" ")

    monkeypatch.setattr(session, "detokenize", detokenize, raising=False)
    streamed = [one.piece for one in stream(session, [1], max_tokens=5)]
    assert streamed == ["a", " b", "", "é", " c"]


def test_every_session_that_is_opened_streams() -> None:
    model = open_model(bundled_model())
    tokenizer = Tokenizer.from_gguf(model.metadata)
    ids = tokenizer.encode("A list is", add_bos=True, parse_special=True)
    with open_session(OracleEngine(), model, context=32, settings=read_settings()) as session:
        own = list(session.stream(ids, max_tokens=4))
        session.rollback(0)
        other = list(session.stream(ids, max_tokens=4, tokenizer=tokenizer))
    assert [one[:2] for one in own] == [one[:2] for one in other]
    assert "".join(one.piece for one in own) == tokenizer.decode([one.token for one in own])
