"""The harness's distances of a position, computed by the core: the same formulas, ten times faster."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.metrics import PositionMetrics
from bitparity_native import _core


def compare_logits(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> PositionMetrics:
    """Both arrays are (n_vocab,), C-contiguous, and not empty."""
    fields: dict[str, Any] = _core.metrics.compare_logits(expected, actual)
    return PositionMetrics(**fields)
