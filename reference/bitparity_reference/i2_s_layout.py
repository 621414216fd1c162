"""Which of its three I2_S layouts a build of bitnet.cpp writes, and what may be asked of it.

The layout is fixed when bitnet.cpp is compiled (for ARM; for x86 with ACT_PARALLEL and without) and neither
a header nor an exported name tells it, so a small matrix is packed and its bytes are looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitparity.formats import FORMATS, I2_S_LAYOUTS
from bitparity.formats.base import Bytes, Floats
from bitparity.formats.i2_s import I2_S
from bitparity.fuzz.implementations import Operation


def layout_written(pack: Callable[[Floats], Bytes]) -> str:
    """The layout of what `pack` writes; that of x86 if it is none, so that the search finds the fault."""
    probe = np.random.default_rng(0).integers(-1, 2, (4, 256)).astype(np.float32)
    codes = slice(-I2_S.tail_bytes)
    packed = pack(probe)[codes].tobytes()
    found = (name for name in I2_S_LAYOUTS if FORMATS[name].pack(probe)[codes].tobytes() == packed)
    return next(found, "I2_S")


def i2_s_operations(layout: str) -> list[tuple[Operation, str]]:
    """(operation, format) pairs of a build that writes `layout`.

    The decoder reads the layout of x86 in every build.  So do the kernels that its matmul calls on x86, even
    where four rows are written; the one for four rows is there and nobody calls it.  Those of ARM read ARM's.
    """
    operations: list[tuple[Operation, str]] = [("pack", layout), ("unpack", "I2_S")]
    if layout == "I2_S_ARM":
        return [*operations, ("multiply", "I2_S_ARM")]
    return [*operations, ("multiply", "I2_S"), ("multiply", "I2_S_X4")]
