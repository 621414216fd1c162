"""What TQ1_0 and TQ2_0 of ggml share: blocks of 256 codes, each block with its own F16 scale at its end.

A stored 0, 1, 2 stands for -1, 0, +1; how the codes of a block lie in its bytes is the format's own.
Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_tq1_0_ref and quantize_row_tq2_0_ref.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes, Floats, Scales
from bitparity.formats.blocks import BlockFormat, half_scales, ternary_from_stored
from bitparity.formats.f16 import F16

BLOCK = 256
SCALE_BYTES = 2
Stored = NDArray[np.uint8]


class TqFormat(BlockFormat, ABC):
    """A subclass says how codes are stored: `_encode` (n, 256) -> bytes (n, k), and `_decode` back."""

    block = BLOCK
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
        blocks = self._finite_matrix(values).reshape(-1, BLOCK)
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
        stored = (self._codes(codes) + 1).view(np.uint8).reshape(-1, BLOCK)
        return self._join(stored, np.full((len(stored), 1), scale16, dtype="<f2"))

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        codes, scales = self.unpack_codes(packed, rows, cols)
        blocks = codes.reshape(-1, BLOCK) * scales.reshape(-1, 1)
        return blocks.reshape(rows, cols)

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and scales (rows, cols / 256); BadInput for a code 3."""
        blocks = self._packed(packed, rows, cols).reshape(-1, self.block_bytes)
        stored = self._decode(blocks[:, :-SCALE_BYTES]).view(np.int8).reshape(rows, cols)
        scales = self.scales_in(blocks, rows, cols).astype(np.float32)
        return ternary_from_stored(self.name, stored), scales

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a block, (rows, cols / 256)."""
        blocks = packed.reshape(rows, cols // BLOCK, self.block_bytes)
        return blocks[..., -SCALE_BYTES:].view("<f2")[..., 0]

    def _join(self, stored: Stored, scales: NDArray[np.float16]) -> Bytes:
        return np.concatenate([self._encode(stored), scales.view(np.uint8)], axis=1).reshape(-1)
