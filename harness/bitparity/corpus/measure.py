"""Run both engines over the windows of a corpus and keep a row of every scored position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from bitparity.compare.chunking import Chunking
from bitparity.compare.metrics import compare_logits, log_softmax
from bitparity.compare.positions import logits_by_chunk
from bitparity.corpus.rows import ROW, RowFile, Rows, row_values
from bitparity.corpus.windows import Plan, Window
from bitparity.engine import Floats, Session
from bitparity.processors import usable_processors


def measure_corpus(
    expected: Session,
    actual: Session,
    plan: Plan,
    chunking: Chunking,
    file: RowFile,
    on_window: Callable[[int, int], None] | None = None,
) -> None:
    """Measure every window that the file has not; one chunk of logits is in memory at a time.

    on_window  called with how many windows are done, and of how many

    Raises what the sessions raise; the rows of the windows before are kept then.
    """
    windows = len(plan.starts)
    with ThreadPoolExecutor(usable_processors()) as pool:
        for index in range(file.begin(), windows):
            file.append(_rows(expected, actual, plan.at(index), index, chunking, pool))
            if on_window is not None:
                on_window(index + 1, windows)


def _rows(
    expected: Session,
    actual: Session,
    window: Window,
    index: int,
    chunking: Chunking,
    pool: ThreadPoolExecutor,
) -> Rows:
    tokens = [int(token) for token in window.tokens]
    end = window.first + len(window.targets)
    scored: list[tuple[Any, ...]] = []
    position = 0
    for pair in _chunks(expected, actual, tokens, chunking):
        positions = [p for p in range(position, position + len(pair[0])) if window.first <= p < end]
        rows = [side[[p - position for p in positions]] for side in pair]
        targets = [int(window.targets[p - window.first]) for p in positions]
        fed = [tokens[p] for p in positions]
        scored += pool.map(partial(_row, index), positions, fed, targets, *rows)
        position += len(pair[0])
    return np.array(scored, ROW)


def _chunks(
    expected: Session, actual: Session, tokens: list[int], chunking: Chunking
) -> Iterator[tuple[Floats, Floats]]:
    yield from zip(
        logits_by_chunk(expected, tokens, chunking), logits_by_chunk(actual, tokens, chunking), strict=True
    )


def _row(
    window: int, position: int, token: int, target: int, expected: Floats, actual: Floats
) -> tuple[Any, ...]:
    place = (window, position, token, target)
    surprise = (_nll(expected, target), _nll(actual, target))
    return (*place, *surprise, *row_values(compare_logits(expected, actual)))


def _nll(logits: Floats, target: int) -> float:
    """Minus the log-probability of the target, in nats; NaN unless all logits are finite."""
    if not np.isfinite(logits).all():
        return float("nan")
    return -float(log_softmax(logits.astype(np.float64))[target])
