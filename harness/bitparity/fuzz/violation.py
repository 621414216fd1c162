"""What a check raises when an implementation breaks its contract."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 5


class Violation(AssertionError):
    """The implementation under test broke the contract; the message says how, coarse to fine."""


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise Violation(message)


def expect_equal(expected: NDArray[Any], actual: NDArray[Any], what: str) -> None:
    """Shape, dtype, then every value; NaN equals NaN, and +0 equals -0."""
    expect(actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}")
    expect(actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}")
    same = actual == expected
    if np.issubdtype(expected.dtype, np.floating):
        same |= np.isnan(expected) & np.isnan(actual)
    if same.all():
        return
    wrong = np.argwhere(~same)
    lines = [
        f"at {tuple(map(int, i))}: {actual[tuple(i)]!s}, expected {expected[tuple(i)]!s}"
        for i in wrong[:SAMPLES]
    ]
    raise Violation(f"{what}: {len(wrong)} of {expected.size} values differ; " + "; ".join(lines))
