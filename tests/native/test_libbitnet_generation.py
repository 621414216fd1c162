"""libbitnet generates: greedy as `bitparity run`, sampled as its header says, streamed and in batches."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bitparity.engine import Floats
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.streaming import stream
from bitparity.tokenizer import Tokenizer
from bitparity_native.engine import NativeEngine
from native.bitnet_library import (
    ALL,
    BAD_INPUT,
    BUSY,
    CLOSED,
    LIB,
    BatchItem,
    Generated,
    StreamFunction,
    checked,
    generation,
    ids_of,
    last_error,
    logits_at,
    open_session,
)

PROMPT = "The function returns a list of"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_gguf(open_model(bundled_model()).metadata)


@pytest.fixture(scope="module")
def prompt_ids(tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(PROMPT, add_bos=True, parse_special=True)


def generate(session: int, ids: Sequence[int], **choices: Any) -> list[int]:
    out = ids_of([-1] * 64)
    n = LIB.bitnet_generate(session, ids_of(ids), len(ids), generation(**choices), None, None, out, 64)
    return list(out[: checked(n)])


def test_greedy_generation_has_the_tokens_of_bitparity_run(
    model: int, session: int, tokenizer: Tokenizer, prompt_ids: list[int]
) -> None:
    front = NativeEngine().open(bundled_model(), context=128, threads=1)
    expected = [streamed.token for streamed in stream(front, prompt_ids, max_tokens=20)]
    assert generate(session, prompt_ids, max_tokens=20, ignore_end=1) == expected
    out = ids_of([-1] * 20)
    n = len(prompt_ids)
    config = generation(max_tokens=20, ignore_end=1)
    assert LIB.bitnet_inference_tokens(model, ids_of(prompt_ids), n, config, out, 20) == 20
    assert list(out) == expected
    assert LIB.bitnet_inference_tokens(model, ids_of(prompt_ids), n, config, out, 3) == 3
    text = ctypes.create_string_buffer(500)
    length = checked(LIB.bitnet_inference(model, PROMPT.encode(), config, text, 500))
    assert text.value == tokenizer.decode_bytes(expected)[:499]
    assert length == len(tokenizer.decode_bytes(expected))


def test_generation_goes_on_where_it_stopped(session: int, prompt_ids: list[int]) -> None:
    whole = generate(session, prompt_ids, max_tokens=12, ignore_end=1)
    checked(LIB.bitnet_rollback(session, 0))
    first = generate(session, prompt_ids, max_tokens=5, ignore_end=1)
    assert LIB.bitnet_position(session) == len(prompt_ids) + 4
    rest = generate(session, first[-1:], max_tokens=7, ignore_end=1)
    assert first + rest == whole


class Stream:
    """Keeps what a callback got; stops behind `limit` tokens."""

    def __init__(self, limit: int = 1000) -> None:
        self.tokens: list[int] = []
        self.pieces: list[bytes] = []
        self.positions: list[int] = []
        self.rows: list[Floats] = []
        self.limit = limit
        self.function = StreamFunction(self)

    def __call__(self, user: int | None, generated: Any) -> int:
        got: Generated = generated.contents
        self.tokens.append(got.token)
        self.positions.append(got.position)
        self.pieces.append(ctypes.string_at(got.piece, got.piece_size))
        self.rows.append(np.ctypeslib.as_array(got.logits, (got.n_vocab,)).copy())
        return int(len(self.tokens) == self.limit)


def test_stream_hands_out_token_piece_and_logits(
    session: int, tokenizer: Tokenizer, prompt_ids: list[int]
) -> None:
    front = NativeEngine().open(bundled_model(), context=128, threads=1)
    stream = Stream()
    config = generation(max_tokens=8, ignore_end=1)
    assert LIB.bitnet_generate_text(session, PROMPT.encode(), config, stream.function, None) == 8
    row = front.prefill(prompt_ids, logits="last")[-1]
    for token, piece, actual in zip(stream.tokens, stream.pieces, stream.rows, strict=True):
        assert actual.tobytes() == row.tobytes()
        assert token == int(np.argmax(row))
        assert piece == tokenizer.decode_bytes([token])
        row = front.decode(token)
    assert stream.positions == [len(prompt_ids) + i for i in range(8)]


def test_callback_stops_the_stream_and_cannot_use_its_session(session: int, prompt_ids: list[int]) -> None:
    statuses = []

    def call(user: int | None, generated: Any) -> int:
        statuses.append(LIB.bitnet_decode(session, 1))
        LIB.bitnet_session_free(session)
        return int(len(statuses) == 3)

    n = len(prompt_ids)
    function = StreamFunction(call)
    assert LIB.bitnet_generate(session, ids_of(prompt_ids), n, None, function, None, None, 0) == 3
    assert statuses == [BUSY, CLOSED, CLOSED]
    assert LIB.bitnet_position(session) == CLOSED


def test_generation_stops_at_the_end_of_the_text(model: int, session: int, prompt_ids: list[int]) -> None:
    """The penalty drives the other tokens down until the end token is the best."""
    end = LIB.bitnet_special_token(model, 1)
    others = [token for token in range(LIB.bitnet_n_vocab(model)) if token != end]
    wide = open_session(model, context=4096, threads=2)
    checked(LIB.bitnet_prefill(wide, ids_of(others), len(others), 1))
    stream = Stream()
    config = generation(max_tokens=30, repetition_penalty=1e6, repetition_window=4096)
    n = LIB.bitnet_generate(wide, None, 0, config, stream.function, None, None, 0)
    assert 0 < n == len(stream.tokens) < 30
    assert stream.tokens.index(end) == n - 1
    assert [bool(piece) for piece in stream.pieces] == [True] * (n - 1) + [False]
    LIB.bitnet_session_free(wide)


def test_generation_stops_at_the_end_of_the_context(model: int, prompt_ids: list[int]) -> None:
    small = open_session(model, context=len(prompt_ids) + 3, threads=1)
    assert len(generate(small, prompt_ids, max_tokens=30, ignore_end=1)) == 4
    assert LIB.bitnet_position(small) == LIB.bitnet_context(small)
    LIB.bitnet_session_free(small)


# ------------------------------------------------------------------------------------------------- sampling


def draw(seed: int, position: int) -> float:
    """SplitMix64."""
    mask = (1 << 64) - 1
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return float((z ^ z >> 31) >> 11) * 2.0**-53


def sampled(row: Floats, history: list[int], **c: Any) -> int:
    """The header's description in NumPy."""
    logits = row.astype(np.float64)
    penalty = float(np.float32(c.get("repetition_penalty", 1)))
    for token in set(history[-c.get("repetition_window", 64) :]):
        logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    if c.get("temperature", 0) == 0:
        return int(np.argmax(logits))
    order = np.lexsort((np.arange(len(logits)), -logits))[: c.get("top_k", 0) or None]
    weights = np.exp((logits[order] - logits[order[0]]) / float(np.float32(c["temperature"])))
    reached = np.cumsum(weights) >= float(np.float32(c.get("top_p", 1))) * weights.sum()
    kept = int(np.argmax(reached)) + 1 if reached.any() else len(weights)
    sums = np.cumsum(weights[:kept])
    return int(order[np.searchsorted(sums, draw(c.get("seed", 0), len(history)) * sums[-1], side="right")])


@pytest.mark.parametrize(
    "choices",
    [
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 1.3, "repetition_window": 3},
        {"temperature": 1.0, "seed": 7},
        {"temperature": 0.7, "top_k": 5, "seed": 1 << 63},
        {"temperature": 1.5, "top_p": 0.6, "seed": 3},
        {"temperature": 2.0, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.1, "seed": 9},
        {"temperature": 1.0, "top_k": 1},
    ],
    ids=str,
)
def test_sampling_is_what_the_header_says(
    session: int, prompt_ids: list[int], choices: dict[str, Any]
) -> None:
    stream = Stream()
    config = generation(max_tokens=16, ignore_end=1, **choices)
    n = len(prompt_ids)
    assert LIB.bitnet_generate(session, ids_of(prompt_ids), n, config, stream.function, None, None, 0) == 16
    history = list(prompt_ids)
    for row, token in zip(stream.rows, stream.tokens, strict=True):
        assert token == sampled(row, history, **choices)
        history.append(token)
    checked(LIB.bitnet_rollback(session, 0))
    assert generate(session, prompt_ids, max_tokens=16, ignore_end=1, **choices) == stream.tokens


def test_sampled_tokens_have_the_frequencies_of_the_probabilities(
    model: int, session: int, prompt_ids: list[int]
) -> None:
    checked(LIB.bitnet_prefill(session, ids_of(prompt_ids), len(prompt_ids), 1))
    row = logits_at(session, len(prompt_ids) - 1, LIB.bitnet_n_vocab(model)).astype(np.float64)
    drawn = [LIB.bitnet_sample(session, generation(temperature=1.0, seed=seed)) for seed in range(2000)]
    probabilities = np.exp(row - row.max())
    probabilities /= probabilities.sum()
    best = int(np.argmax(probabilities))
    expected = probabilities[best]
    # five standard deviations of a binomial share
    assert abs(drawn.count(best) / 2000 - expected) < 5 * np.sqrt(expected * (1 - expected) / 2000)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_window": -1}, "repetition_window"),
    ],
)
def test_configuration_that_cannot_be_is_refused(session: int, choices: dict[str, Any], words: str) -> None:
    assert (
        LIB.bitnet_generate(session, ids_of([1]), 1, generation(**choices), None, None, None, 0) == BAD_INPUT
    )
    assert f": {words} is " in last_error()
    assert LIB.bitnet_position(session) == 0


def test_sampling_without_logits_is_refused(session: int) -> None:
    assert LIB.bitnet_sample(session, None) == BAD_INPUT
    assert LIB.bitnet_generate(session, None, 0, None, None, None, None, 0) == BAD_INPUT


# -------------------------------------------------------------------------------------------------- batches


def test_batch_runs_every_item_and_tells_of_the_first_that_fails(model: int) -> None:
    sessions = [open_session(model, context=16, threads=1, keep_logits=1) for _ in range(3)]
    prompts = [ids_of(ids) for ids in ([1, 2, 3], [4, 999_999], [5, 6])]
    items = (BatchItem * 3)(*(BatchItem(s, p, len(p), ALL) for s, p in zip(sessions, prompts, strict=True)))
    assert LIB.bitnet_batch_run(items, 3) == BAD_INPUT
    assert "token id 999999 at offset 1" in last_error()
    assert [item.status for item in items] == [0, BAD_INPUT, 0]
    assert [LIB.bitnet_position(s) for s in sessions] == [3, 0, 2]
    alone = open_session(model, context=16, threads=1)
    checked(LIB.bitnet_prefill(alone, prompts[2], 2, ALL))
    n_vocab = LIB.bitnet_n_vocab(model)
    assert logits_at(sessions[2], 0, n_vocab).tobytes() == logits_at(alone, 0, n_vocab).tobytes()
    for handle in (*sessions, alone):
        LIB.bitnet_session_free(handle)
