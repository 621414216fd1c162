"""The layouts of I2_S: a byte holds four weights, the first one highest; a stored 0, 1, 2 is -1, 0, +1.

A stored 3 is 0 to bitnet.cpp's dequantizer and +2 to its matmul, and is refused here.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from bitparity.formats.base import Bytes, Codes
from bitparity.formats.blocks import ternary_from_stored, without_code_3
from bitparity.formats.one_scale import OneScaleFormat

_SHIFTS = np.array([6, 4, 2, 0], dtype=np.uint8)[:, None]


class TwoBitsFormat(OneScaleFormat):
    """A subclass says in which run of bytes a weight lies: four runs of weights share one run of bytes."""

    @abstractmethod
    def _run(self, cols: int) -> int:
        """Bytes of a run; it holds the weights j, run + j, 2 run + j and 3 run + j in its byte j."""

    def _encode(self, codes: Codes) -> Bytes:
        stored = (codes + 1).view(np.uint8).reshape(-1, 4, self._run(codes.shape[1]))
        encoded: Bytes = np.bitwise_or.reduce(stored << _SHIFTS, axis=1)
        return encoded

    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes:
        stored = (data.reshape(-1, 1, self._run(cols)) >> _SHIFTS) & np.uint8(3)
        return ternary_from_stored(self.name, stored.view(np.int8).reshape(rows, cols))

    def _legal(self, codes: Bytes) -> Bytes:
        return without_code_3(codes)
