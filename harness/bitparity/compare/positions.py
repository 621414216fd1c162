"""Run two sessions over the same tokens; one record a position, holding one chunk of logits at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np

from bitparity.compare.chunking import Chunking
from bitparity.compare.metrics import PositionMetrics
from bitparity.compare.most_probable import measure_for
from bitparity.engine import Floats, Session
from bitparity.errors import BadInput
from bitparity.processors import usable_processors


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """What was measured at one position; `token` is the id that was fed there, logits are (n_vocab,)."""

    position: int
    token: int
    metrics: PositionMetrics
    expected: Floats
    actual: Floats


def logits_by_position(session: Session, tokens: Sequence[int], chunking: Chunking) -> Iterator[Floats]:
    """Forget what the session holds, run tokens, and yield (n_vocab,) float32 a position, in order.

    Raises as logits_by_chunk does.
    """
    return chain.from_iterable(logits_by_chunk(session, tokens, chunking))


def logits_by_chunk(session: Session, tokens: Sequence[int], chunking: Chunking) -> Iterator[Floats]:
    """Forget what the session holds, run tokens, and yield (n positions, n_vocab) float32 a chunk, in order.

    Raises BadInput, before anything runs, for no tokens, more than the context holds, or an id outside the
    vocabulary.
    """
    check_tokens(tokens, session)
    session.rollback(0)
    for chunk in chunking.chunks(len(tokens)):
        ids = tokens[chunk.first : chunk.last]
        if chunk.decode:
            yield session.decode(ids[0])[np.newaxis]
            continue
        yield session.prefill(ids)


def check_tokens(tokens: Sequence[int], session: Session, *, steps: int = 0) -> None:
    """Raise BadInput unless the session can run tokens and then `steps` more."""
    engine, info = session.info.fingerprint.engine, session.info
    if not tokens:
        raise BadInput("the prompt is empty: there is no token to compare")
    if len(tokens) + steps > info.context:
        asked = f"{len(tokens)} tokens" + (f" and {steps} steps" if steps else "")
        raise BadInput(
            f"the prompt has {asked} but the context of {engine} holds {info.context}; "
            "shorten it or raise --context"
        )
    for offset, token in enumerate(tokens):
        if not 0 <= token < info.n_vocab:
            raise BadInput(
                f"token id {token} at offset {offset} is outside the vocabulary of {engine}, "
                f"which is 0 to {info.n_vocab - 1}"
            )


def compare_positions(
    expected: Session, actual: Session, tokens: Sequence[int], chunking: Chunking, *, steps: int = 0
) -> Iterator[PositionRecord]:
    """Run both sessions in step and yield len(tokens) + steps records.

    After the tokens come `steps` decodes with teacher forcing: the expected side's best token is fed to both,
    so that one near tie does not set the two on different texts.
    """
    for session in (expected, actual):
        check_tokens(tokens, session, steps=steps)
    measure = measure_for(actual.info.most_probable)
    chunks = zip(
        logits_by_chunk(expected, tokens, chunking),
        logits_by_chunk(actual, tokens, chunking),
        strict=True,
    )
    position, best = 0, 0
    with ThreadPoolExecutor(usable_processors()) as pool:
        for expected_rows, actual_rows in chunks:
            best = int(np.argmax(expected_rows[-1]))
            measured = pool.map(measure, expected_rows, actual_rows)
            for metrics, *rows in zip(measured, expected_rows, actual_rows, strict=True):
                yield PositionRecord(position, tokens[position], metrics, *rows)
                position += 1
    for position in range(len(tokens), len(tokens) + steps):
        token = best
        expected_row, actual_row = expected.decode(token), actual.decode(token)
        best = int(np.argmax(expected_row))
        metrics = measure(expected_row, actual_row)
        yield PositionRecord(position, token, metrics, expected_row, actual_row)
