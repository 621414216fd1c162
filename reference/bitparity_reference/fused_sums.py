"""Whether a build of ggml rounds each product of a sum in plain C before it adds it: no build reports it.

Q2_0's dot product is the one such sum that matters.  GCC makes an fma of it unless it tunes for a CPU on
which chains of fma are slow, as `-march=native` does on Zen.
"""

from __future__ import annotations

import ctypes

import numpy as np

from bitparity.formats.base import Bytes
from bitparity.formats.q2_0 import Q2_0
from bitparity.formats.q8_0 import Q8_0

_DOT = "ggml_vec_dot_q2_0_q8_0"


def fuses_sums(library: ctypes.CDLL) -> bool:
    """Whether a dot product of Q2_0 adds its products unrounded; False where there is none.

    Two blocks of weights of opposite sign meet the same activations: the second product takes back the first,
    which was rounded when it was added to 0.  What remains is 0, or by what the second, unrounded, differs.
    """
    if not hasattr(library, _DOT):
        return False
    scale = 1 + 2.0**-10
    ones, activations = (
        np.ones((1, Q2_0.block), np.int8),
        np.full((1, 2 * Q2_0.block), 127 * scale, np.float32),
    )
    activations[0, Q2_0.block // 2 :: Q2_0.block] = 126 * scale
    weights = np.concatenate([Q2_0.pack_codes(ones, -scale), Q2_0.pack_codes(ones, scale)])
    return _dot(library, weights, Q8_0.pack(activations), activations.size) != 0


def _dot(library: ctypes.CDLL, weights: Bytes, activations: Bytes, cols: int) -> float:
    """One row of Q2_0 times one token in Q8_0."""
    dot, out = getattr(library, _DOT), ctypes.c_float()
    size, address = ctypes.c_size_t, ctypes.c_void_p
    dot.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_float),
        size,
        address,
        size,
        address,
        size,
        ctypes.c_int,
    ]
    dot.restype = None
    dot(cols, out, 0, weights.ctypes.data, 0, activations.ctypes.data, 0, 1)
    return out.value
