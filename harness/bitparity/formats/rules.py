"""The rules by which programs turn real weights into ternary codes and one scale.

| rule | code | scale | who |
|---|---|---|---|
| sign_of_maximum | sign(w), 0 if abs(w) < 1e-6 | max abs(w) | bitnet.cpp quantize_i2_s, its TL converter |
| half_of_maximum | round(w / max), half away from 0 | max abs(w) of a block | ggml TQ1_0, TQ2_0 |
| absolute_mean | round(w / mean), clipped | mean abs(w), at least 1e-5 | arXiv 2402.17764, converters |
| first_non_zero | trunc(w / first) | first non-zero w, with its sign | bitnet.cpp utils/convert.py |

All are exact on input that is already ternary times one scale (absolute_mean: same codes, another scale),
but not for a scale below 1e-6, which the dead zone of sign_of_maximum turns to zeros.  All refuse NaN and
infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Codes, Floats

# Absolute, whatever the scale.  C compares in double, NumPy in float32: the float nearest to 1e-6 itself is
# dead to bitnet.cpp's quantizer and alive to its converter.
DEAD_ZONE = np.float64(1e-6)
CONVERTER_DEAD_ZONE = np.float32(1e-6)
SMALLEST_MEAN = np.float32(1e-5)


def require_finite(values: Floats) -> None:
    """BadInput that names the first weight that is NaN or infinite."""
    finite = np.isfinite(values)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise BadInput(f"weight {where} is {values[where]}; only finite weights can be packed")


def sign_of_maximum(values: Floats, dead_zone: np.floating[Any] = DEAD_ZONE) -> tuple[Codes, float]:
    require_finite(values)
    codes = np.where(np.abs(values) < dead_zone, 0, np.sign(values)).astype(np.int8)
    return codes, float(np.abs(values).max(initial=0.0))


def half_of_maximum(values: Floats) -> tuple[Codes, float]:
    require_finite(values)
    scale = np.abs(values).max(initial=np.float32(0))
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    if not np.isfinite(inverse):  # all zero, or so small that 1 / max overflows
        return np.zeros(values.shape, dtype=np.int8), float(scale)
    quotient = np.abs(values) * inverse
    return (np.sign(values) * np.floor(quotient + np.float32(0.5))).astype(np.int8), float(scale)


def absolute_mean(values: Floats, mean: np.float32 | None = None) -> tuple[Codes, float]:
    """In float32, step by step as the converters compute it in torch: s = 1 / mean, code = round(w * s).

    mean  of abs(w), when known: nobody promises the order of its additions, and its last bits decide ties

    The scale is 1 / s, which may be one float away from the mean.
    """
    require_finite(values)
    if mean is None:
        mean = np.abs(values).mean(dtype=np.float32)
    inverse = np.float32(1) / max(mean, SMALLEST_MEAN)
    codes = np.clip(np.rint(values * inverse), -1, 1)
    return codes.astype(np.int8), float(np.float32(1) / inverse)


def first_non_zero(values: Floats) -> tuple[Codes, float]:
    """Meant for weights that are ternary already; BadInput when a later one is more than twice the first or
    so."""
    require_finite(values)
    found = values.reshape(-1)[values.reshape(-1) != 0]
    scale = found[0] if found.size else np.float32(1)
    codes = np.trunc(values / scale)
    if np.abs(codes).max(initial=0) > 1:
        raise BadInput(
            f"weights are not ternary: one is {np.abs(codes).max():g} times the first non-zero weight"
        )
    return codes.astype(np.int8), float(scale)


def exact_codes(values: Floats) -> tuple[Codes, float]:
    """Codes and scale of a matrix whose weights are all 0, +s or -s; BadInput names the first that is not."""
    scale = np.abs(values).max(initial=np.float32(0))
    codes = np.sign(values)
    is_other = ~(codes * scale == values)  # NaN too
    if is_other.any():
        row, col = np.argwhere(is_other)[0]
        raise BadInput(
            f"is not ternary: the largest magnitude is {scale:.9g}, "
            f"and the weight at row {row}, column {col} is {values[row, col]:.9g}"
        )
    return codes.astype(np.int8), float(scale)
