"""What the tests of kernels share: inputs that break lanes and scales, and how results are compared.

Every kernel of every kernel set that runs here is tested on sizes around its block, misaligned, guarded and
poisoned.  Integers are compared exactly with NumPy's; floats with a float64 sum, within the rounding errors
of a float32 sum of that length; and every set with `portable`, bit for bit, because that is promised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPS = 2.0**-24  # half a unit in the last place of a float32 of size one
# Rows and tokens of matmuls.  With one token the rows are read in up to four streams of equal length, and
# those that are left one by one.
MATMUL_SHAPES = [(1, 1), (2, 1), (3, 2), (4, 1), (11, 1), (20, 1), (5, 4), (7, 5), (9, 13), (16, 3)]
INPUTS = ("normal", "zeros", "largest", "one value", "denormal")


def draw(name: str, n: int, seed: int = 0) -> NDArray[np.float32]:
    x = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    if name == "zeros":
        x[:] = 0
    if name == "largest":  # every code 127 or -127
        x = np.sign(x) * np.float32(3)
    if name == "one value":
        x[:] = 0
        x[n // 2] = -7
    if name == "denormal":
        x *= np.float32(1e-39)
    return x


def same_bits(actual: NDArray[Any], expected: NDArray[Any]) -> bool:
    return actual.shape == expected.shape and actual.tobytes() == expected.tobytes()
