"""What the ternary formats of ggml share: blocks of codes, each block with its own F16 scale.

A stored 0, 1, 2 stands for -1, 0, +1; how the codes of a block lie in its bytes is the format's own.
Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_tq1_0_ref, quantize_row_tq2_0_ref and
quantize_row_q2_0_ref.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes, Floats, Scales
from bitparity.formats.blocks import BlockFormat, half_scales, ternary_from_stored
from bitparity.formats.f16 import F16

SCALE_BYTES = 2
Stored = NDArray[np.uint8]


class TqFormat(BlockFormat, ABC):
    """A subclass says how codes are stored: `_encode` (n, block) -> bytes (n, k), and `_decode` back.

    scale_is_first  among the bytes of a block; else it is last
    """

    block = 256
    scale_is_first = False
    scale_format = "F16"
    rounding = F16.rounding

    @abstractmethod
    def _encode(self, stored: Stored) -> Stored: ...

    @abstractmethod
    def _decode(self, coded: Stored) -> Stored: ...

    def pack(self, values: Floats) -> Bytes:
        """Pack as ggml does: the scale of a block is max |w|, a code is w / max rounded, halves away from 0.

        So weights under half of the block's maximum become 0.  The quotient is w * (1 / max) in float32, the
        scale is rounded to F16 afterwards.  Raises BadInput for NaN, infinity and a scale that does not fit
        F16, for which ggml stores infinity.
        """
        blocks = self._finite_matrix(values).reshape(-1, self.block)
        scales = np.abs(blocks).max(axis=1, keepdims=True)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(1) / scales
        inverse[np.isinf(inverse)] = 0  # a block of zeros, or of weights so small that F16 makes the scale 0
        quotient = blocks * inverse
        codes = np.sign(quotient) * (np.abs(quotient) >= 0.5)
        return self._join((codes + 1).astype(np.uint8), half_scales(self.name, scales))

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack codes in {-1, 0, 1}, exactly, with the same scale in every block.

        Raises BadInput for a scale that F16 does not hold exactly: rounding it would change the weights
        without a word.
        """
        with np.errstate(over="ignore"):
            scale16 = np.float16(scale)
        if not (np.isfinite(scale16) and float(scale16) == scale):
            raise BadInput(
                f"{self.name}: the scale {scale!r} is no F16 value and {self.name} stores scales as F16; "
                f"the nearest is {float(scale16)!r}"
            )
        stored = (self._codes(codes) + 1).view(np.uint8).reshape(-1, self.block)
        return self._join(stored, np.full((len(stored), 1), scale16, dtype="<f2"))

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        codes, scales = self.unpack_codes(packed, rows, cols)
        blocks = codes.reshape(-1, self.block) * scales.reshape(-1, 1)
        return blocks.reshape(rows, cols)

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and scales (rows, cols / block); BadInput for a code 3."""
        blocks = self._packed(packed, rows, cols).reshape(-1, self.block_bytes)
        stored = self._decode(blocks[:, self._code_bytes]).view(np.int8).reshape(rows, cols)
        scales = self.scales_in(blocks, rows, cols).astype(np.float32)
        return ternary_from_stored(self.name, stored), scales

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a block, (rows, cols / block)."""
        blocks = packed.reshape(rows, cols // self.block, self.block_bytes)
        scale = slice(0, SCALE_BYTES) if self.scale_is_first else slice(-SCALE_BYTES, None)
        return blocks[..., scale].view("<f2")[..., 0]

    @property
    def _code_bytes(self) -> slice:
        return slice(SCALE_BYTES, None) if self.scale_is_first else slice(0, -SCALE_BYTES)

    def _join(self, stored: Stored, scales: NDArray[np.float16]) -> Bytes:
        parts = [self._encode(stored), scales.view(np.uint8)]
        return np.concatenate(parts[::-1] if self.scale_is_first else parts, axis=1).reshape(-1)
