"""Chunk plans, streams, teacher forcing, prompts and the token gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.compare.chunking import LARGEST_PREFILL, Chunking
from bitparity.compare.positions import compare_positions, logits_by_position
from bitparity.compare.prompts import Prompt, parse_tokens, read_prompts, text_prompt, tokenize
from bitparity.errors import BadInput, TokenMismatch

MakeSession = Callable[..., Any]
PLANS = ["prefill", "decode", "mixed", "1", "3", "600"]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", [1, 2, 7, 8, 100, LARGEST_PREFILL, LARGEST_PREFILL + 1, 1300])
def test_chunks_cover_every_token_once(plan: str, n: int) -> None:
    chunks = list(Chunking.parse(plan).chunks(n))
    assert [i for c in chunks for i in range(c.first, c.last)] == list(range(n))
    assert all(0 < c.last - c.first <= LARGEST_PREFILL for c in chunks)
    assert all(c.last - c.first == 1 for c in chunks if c.decode)


def test_mixed_chunks_hold_prefills_and_decodes() -> None:
    assert {c.decode for c in Chunking("mixed").chunks(16)} == {True, False}


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "all", "²"])
def test_unknown_chunks_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"prefill, decode, mixed"):
        Chunking.parse(text)


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_gives_the_same_rows(plan: str, fake_session: MakeSession) -> None:
    tokens = [5, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    rows = list(logits_by_position(fake_session(), tokens, Chunking.parse(plan)))
    assert np.array_equal(rows, fake_session().prefill(tokens))


def test_a_stream_starts_from_an_empty_sequence(fake_session: MakeSession) -> None:
    session = fake_session()
    session.prefill([7, 7, 7])
    assert np.array_equal(
        next(iter(logits_by_position(session, [1, 2], Chunking("decode")))), fake_session().decode(1)
    )


def test_a_stream_holds_one_chunk(fake_session: MakeSession) -> None:
    """The second chunk runs only when its first row is asked for."""
    session = fake_session()
    stream = logits_by_position(session, [1] * 10, Chunking("4"))
    for _ in range(4):
        next(stream)
    assert session.position == 4


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "empty"),
        ([1, 64], "id 64 at offset 1 is outside the vocabulary of fake, which is 0 to 63"),
        ([-1], "id -1 at offset 0"),
        ([1] * 11, "11 tokens but the context of fake holds 10"),
    ],
)
def test_bad_tokens_are_refused_before_anything_runs(
    tokens: list[int], message: str, fake_session: MakeSession
) -> None:
    session = fake_session(context=10)
    with pytest.raises(BadInput, match=message):
        list(compare_positions(session, fake_session(context=10), tokens, Chunking("prefill")))
    assert session.calls == []


def test_steps_that_do_not_fit_the_context_are_refused(fake_session: MakeSession) -> None:
    with pytest.raises(BadInput, match="8 tokens and 3 steps"):
        list(
            compare_positions(
                fake_session(context=10), fake_session(context=10), [1] * 8, Chunking("8"), steps=3
            )
        )


def test_one_record_a_position(fake_session: MakeSession) -> None:
    records = list(compare_positions(fake_session(), fake_session(), [3, 1, 4], Chunking("2")))
    assert [(r.position, r.token) for r in records] == [(0, 3), (1, 1), (2, 4)]
    assert all(r.metrics.l2 == 0 for r in records)


def test_a_planted_difference_is_found_at_its_position(fake_session: MakeSession) -> None:
    actual = fake_session(alter=lambda position, row: row + 0.5 * (position == 2))
    records = list(compare_positions(fake_session(), actual, [3, 1, 4, 1], Chunking("mixed")))
    assert [r.metrics.max_abs > 0.4 for r in records] == [False, False, True, False]


def test_steps_feed_the_references_best_token_to_both(fake_session: MakeSession) -> None:
    expected, actual = fake_session(), fake_session(alter=lambda position, row: -row)
    records = list(compare_positions(expected, actual, [3, 1], Chunking("prefill"), steps=3))
    assert [r.position for r in records] == [0, 1, 2, 3, 4]
    greedy = [3, 1]
    for _ in range(3):
        greedy.append(int(np.argmax(fake_session().prefill(greedy)[-1])))
    assert expected.tokens == actual.tokens == greedy == [r.token for r in records]


def test_gate_passes_equal_ids(fake_session: MakeSession) -> None:
    assert tokenize(text_prompt("AB"), fake_session(), fake_session()) == [1, 2]


def test_gate_names_the_first_difference_and_both_pieces(fake_session: MakeSession) -> None:
    reference, candidate = fake_session(name="ref"), fake_session(name="cand")
    candidate.tokenize = lambda text, **_: [1, 3]
    with pytest.raises(TokenMismatch, match="offset 1: ref has 2 'B', cand has 3 'C'"):
        tokenize(text_prompt("AB"), reference, candidate)


def test_gate_names_the_end_of_the_shorter(fake_session: MakeSession) -> None:
    reference, candidate = fake_session(name="ref"), fake_session(name="cand")
    candidate.tokenize = lambda text, **_: [1]
    with pytest.raises(TokenMismatch, match="offset 1: ref has 2 'B', cand has no token there"):
        tokenize(text_prompt("AB"), reference, candidate)


def test_token_ids_skip_the_gate(fake_session: MakeSession) -> None:
    assert tokenize(Prompt(tokens=(4, 2)), fake_session(), fake_session(offset=1)) == [4, 2]


def test_external_tokenizer_is_used_for_both(fake_session: MakeSession) -> None:
    class External:
        def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
            return [9, 9]

    assert tokenize(text_prompt("AB"), fake_session(), fake_session(offset=1), External()) == [9, 9]


def test_prompt_files(tmp_path: Path) -> None:
    lines = tmp_path / "prompts.txt"
    lines.write_text('first\n\n"second"\n')
    assert read_prompts(lines) == [Prompt(text="first"), Prompt(text='"second"')]
    rows = tmp_path / "prompts.jsonl"
    rows.write_text('"a\\nb"\n[1, 2]\n{"text": "c"}\n{"tokens": [3], "text": "ignored"}\n')
    assert read_prompts(rows) == [
        Prompt(text="a\nb"),
        Prompt(tokens=(1, 2)),
        Prompt(text="c"),
        Prompt(tokens=(3,)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no prompt"),
        ("{nope", "line 1 is not JSON"),
        ("[]", "neither a text nor a list"),
        ('["a"]', "neither a text nor a list"),
        ("[true]", "neither a text nor a list"),
        ('""', "neither a text nor a list"),
    ],
)
def test_bad_prompt_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(BadInput, match=message):
        read_prompts(path)


def test_token_lists(tmp_path: Path) -> None:
    assert parse_tokens("1, 2,3") == Prompt(tokens=(1, 2, 3))
    path = tmp_path / "ids"
    path.write_text("4 5\n6,7\n")
    assert parse_tokens(str(path)) == Prompt(tokens=(4, 5, 6, 7))


@pytest.mark.parametrize(
    ("text", "message"), [("", "no token id"), ("no-such-file", "no such file"), ("1,+", "no token id")]
)
def test_bad_token_lists_are_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_tokens(text)


def test_empty_prompt_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        text_prompt("")
