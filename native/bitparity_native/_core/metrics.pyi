"""Distances between logits."""

import numpy as np
from numpy.typing import NDArray

def compare_logits(
    expected: NDArray[np.float32], actual: NDArray[np.float32]
) -> dict[str, float | int | bool]:
    """The fields of bitparity.compare.metrics.PositionMetrics; both arrays are (n_vocab,)."""

def compare_logits_portably(
    expected: NDArray[np.float32], actual: NDArray[np.float32]
) -> dict[str, float | int | bool]:
    """What a CPU without AVX2 runs, for tests."""
