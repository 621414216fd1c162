"""Medians of repetitions, the interval in which the true one lies, and ratios round by round."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitparity.bench.samples import CONFIDENCE, Samples


@pytest.mark.parametrize(
    ("n", "interval"),  # as tables of the sign test give them
    [(1, None), (5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (10, (2, 9)), (12, (3, 10)), (20, (6, 15))],
)
def test_interval_lies_between_two_of_the_values(n: int, interval: tuple[int, int] | None) -> None:
    values = np.random.default_rng(n).permutation(np.arange(1, n + 1)).tolist()
    assert Samples.of(values).interval == interval


@pytest.mark.parametrize("n", [6, 10, 25])
def test_interval_holds_the_median_as_often_as_it_says(n: int) -> None:
    """Of a skewed distribution with the median log 2, drawn 4,000 times."""
    draws = np.random.default_rng(0).exponential(size=(4000, n))
    intervals = [Samples.of(row).interval for row in draws.tolist()]
    held = np.mean([low <= np.log(2) <= high for low, high in filter(None, intervals)])
    standard_error = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / len(draws))
    assert len(intervals) == len(draws)
    assert held > CONFIDENCE - 3 * standard_error


def test_ratio_is_that_of_each_round() -> None:
    """A machine that is slow in one round is slow for both."""
    ratio = Samples.of([10.0, 2.0, 30.0]).over(Samples.of([5.0, 1.0, 10.0]))
    assert ratio.values == (2.0, 2.0, 3.0)
    assert (ratio.median, ratio.min, ratio.max) == (2.0, 2.0, 3.0)


def test_json_has_what_was_measured_and_what_follows_from_it() -> None:
    data = json.loads(json.dumps(Samples.of([3.0, 1.0, 2.0]).as_dict()))
    assert data == {"median": 2.0, "min": 1.0, "max": 3.0, "interval": None, "values": [3.0, 1.0, 2.0]}
