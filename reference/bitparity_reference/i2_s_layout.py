"""Which of the three I2_S layouts a build of bitnet.cpp writes, and which of its functions use it.

The layout is fixed when bitnet.cpp is compiled (for ARM; for x86 with ACT_PARALLEL and without) and neither
a header nor an exported name tells it, so a small matrix is packed and its bytes are looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitparity.formats import FORMATS
from bitparity.formats.base import Bytes, Floats
from bitparity.formats.i2_s import I2_S
from bitparity.fuzz.implementations import Operation

WRITTEN_BY_BUILDS = ("I2_S", "I2_S_ARM", "I2_S_X4")  # the others are of converters that are not bitnet.cpp's


def layout_written(pack: Callable[[Floats], Bytes]) -> str:
    """The layout that `pack` writes; that of x86 if it is not known, so that the search finds the fault."""
    probe = np.random.default_rng(0).integers(-1, 2, (4, 256)).astype(np.float32)
    codes = slice(-I2_S.tail_bytes)
    packed = pack(probe)[codes].tobytes()
    found = (name for name in WRITTEN_BY_BUILDS if FORMATS[name].pack(probe)[codes].tobytes() == packed)
    return next(found, "I2_S")


def i2_s_operations(layout: str) -> list[tuple[Operation, str]]:
    """(operation, format) pairs of a build that writes `layout`.

    In every build the decoder reads the layout of x86.  So do the kernels that its matmul calls on x86, even
    in a build that writes four rows interleaved: it has a kernel for four rows, which nothing calls.  The
    kernels of ARM read the layout of ARM.
    """
    operations: list[tuple[Operation, str]] = [("pack", layout), ("unpack", "I2_S")]
    if layout == "I2_S_ARM":
        return [*operations, ("multiply", "I2_S_ARM")]
    return [*operations, ("multiply", "I2_S"), ("multiply", "I2_S_X4")]
