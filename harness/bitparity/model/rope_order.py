"""The order of Q's and K's rows: RoPE rotates rows (2i, 2i + 1) of a head, or (i, i + half of them)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rope_pairs_to_halves(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows (2i, 2i + 1) of each head moved to (i, i + half): from NORM to NEOX order."""
    per_head = rows.reshape(heads, -1, 2, rows.shape[1])
    return np.swapaxes(per_head, 1, 2).reshape(rows.shape)


def rope_halves_to_pairs(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows (i, i + half) of each head moved to (2i, 2i + 1): from NEOX to NORM order."""
    per_head = rows.reshape(heads, 2, -1, rows.shape[1])
    return np.swapaxes(per_head, 1, 2).reshape(rows.shape)
