"""Compare two rows where one engine gives only the log-probabilities of its most probable tokens.

A server hides the logits: it gives log-probabilities, from which the constant of the row is missing, of the k
most probable tokens.  Both sides are then compared as log-probabilities, of the tokens that the candidate
named; what it did not name is minus infinity in its row.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.metrics import (
    TOP_K,
    Doubles,
    Measure,
    PositionMetrics,
    best_of,
    compare_logits,
    log_softmax,
)


def compare_most_probable(expected: NDArray[Any], actual: NDArray[Any], k: int) -> PositionMetrics:
    """Measure one position on the k most probable tokens of the candidate.

    expected  (n_vocab,) logits
    actual    (n_vocab,) logits, or log-probabilities of which some are minus infinity

    The metrics are those of the log-probabilities of these tokens; best tokens and their overlap are looked
    for among all tokens of `expected`.  A row with NaN, or without any finite value, is not finite.
    """
    if np.isnan(expected).any() or np.isnan(actual).any() or not np.isfinite(actual).any():
        return compare_logits(expected, actual)
    wanted, given = _log_probabilities(expected), _log_probabilities(actual)
    named = np.argsort(-given, kind="stable")[:k]
    named = named[np.isfinite(given[named])]
    measured = compare_logits(wanted[named], given[named])
    if not measured.expected_is_finite:
        return measured
    best, best_given = int(np.argmax(wanted)), int(named[0])
    top = min(TOP_K, len(named))
    shared = np.intersect1d(best_of(wanted)[:top], named[:top])
    return replace(
        measured,
        argmax_expected=best,
        argmax_actual=best_given,
        contested=float(wanted[best] - wanted[best_given]),
        top_k_overlap=shared.size / top,
    )


def measure_for(k: int | None) -> Measure:
    """How rows are compared with a candidate's: k as in ModelInfo.most_probable."""
    return compare_logits if k is None else partial(compare_most_probable, k=k)


def what_is_compared(k: int, n_vocab: int) -> str:
    """A sentence for reports."""
    if k >= n_vocab:
        return f"log-probabilities of all {n_vocab:,} tokens; logits differ from them by a constant a row"
    return (
        f"log-probabilities of the {k:,} tokens that the candidate gives at each position; "
        f"those of the other {n_vocab - k:,} tokens were not compared"
    )


def _log_probabilities(row: NDArray[Any]) -> Doubles:
    """Of logits; a row in which tokens are missing has them already."""
    values = row.astype(np.float64)
    return log_softmax(values) if np.isfinite(values).all() else values
