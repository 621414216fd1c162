"""Numbers as sentences have them."""

from __future__ import annotations

_NEAR = 1e-4  # from here on six digits of a factor do not tell how far from 1 it is


def factor_in_words(factor: float) -> str:
    """A factor, or its distance from 1 where that is what tells something: `0.6`, `1 + 1.2e-07`."""
    beyond = factor - 1
    if 0 < abs(beyond) < _NEAR:
        return f"1 {'+' if beyond > 0 else '-'} {abs(beyond):.2g}"
    return f"{factor:.6g}"
