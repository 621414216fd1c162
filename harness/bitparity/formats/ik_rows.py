"""IQ2_BN and IQ1_BN of ik_llama.cpp: a scale at the start of each row, then blocks of 64 ternary weights.

| format | scale | a block of 64 |
|---|---|---|
| IQ2_BN | float32 | 16 bytes; byte j holds the weights j, 16 + j, 32 + j and 48 + j, low bits first |
| IQ1_BN | F16 | 13 bytes; three bytes of five weights and one weight of the last byte for every 16 |

A stored 0, 1, 2 is -1, 0, +1.  A byte of IQ1_BN is its digits in base 3, the first one least, times 256 / 243
rounded up; to read digit j, the byte times 3^(4 - j) is cut to eight bits, and three times that has it above
them.
The scale is the row's largest magnitude; weights below half of it are 0.  So a row of zeros has the scale 0
and codes of +1.
Source: ik_llama.cpp ggml/src/iqk/iqk_quantize.cpp, quantize_one_row_1bn, quantize_one_row_2bn and
dequantize_row_iq1_bn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes, Floats, Scales
from bitparity.formats.blocks import BlockFormat, ternary_from_stored, without_code_3
from bitparity.formats.f16 import F16

Stored = NDArray[np.uint8]
_SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
_POWERS = np.array([81, 27, 9, 3, 1], dtype=np.uint8)


class ScaledRowsFormat(BlockFormat, ABC):
    """A subclass says how codes are stored: `_encode` (n, 64) -> bytes (n, k), and `_decode` back."""

    block = 64
    scale_type: DTypeLike

    @abstractmethod
    def _encode(self, stored: Stored) -> Stored: ...

    @abstractmethod
    def _decode(self, coded: Stored) -> Stored: ...

    @property
    def scale_bytes(self) -> int:
        return np.dtype(self.scale_type).itemsize

    def size(self, rows: int, cols: int) -> int:
        """A scale more for each row; ShapeError if cols is not a multiple of 64."""
        return super().size(rows, cols) + rows * self.scale_bytes

    def pack(self, values: Floats) -> Bytes:
        """As ik_llama.cpp's quantizer; BadInput for NaN, infinity and a scale that its type does not hold."""
        matrix = self._finite_matrix(values)
        largest = np.abs(matrix).max(axis=1, keepdims=True, initial=np.float32(0))
        signs = np.where(matrix < 0, -1, 1)
        codes = np.where(np.abs(matrix) < np.float32(0.5) * largest, 0, signs).astype(np.int8)
        with np.errstate(over="ignore"):
            scales = largest.astype(self.scale_type)
        if not np.isfinite(scales).all():
            raise BadInput(f"{self.name}: a row has the scale {largest.max():g}, and F16 ends at 65504")
        return self._join(codes, scales)

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack codes in {-1, 0, 1}, exactly; BadInput for a scale that the format's type does not hold."""
        with np.errstate(over="ignore"):
            kept = np.asarray(scale).astype(self.scale_type)
        if not (np.isfinite(kept) and float(kept) == scale):
            raise BadInput(f"{self.name}: the scale {scale!r} is no finite {self.scale_format}")
        matrix = self._codes(codes)
        return self._join(matrix, np.full((len(matrix), 1), kept, dtype=self.scale_type))

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        codes, scales = self.unpack_codes(packed, rows, cols)
        return codes * scales

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and scales (rows, 1); BadInput for a code 3."""
        data = self._packed(packed, rows, cols).reshape(rows, -1)[:, self.scale_bytes :]
        stored = self._decode(data.reshape(-1, self.block_bytes)).view(np.int8).reshape(rows, cols)
        scales = self.scales_in(packed, rows, cols).astype(np.float32)
        return ternary_from_stored(self.name, stored), scales.reshape(rows, 1)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a row, (rows,)."""
        return packed.reshape(rows, -1)[:, : self.scale_bytes].view(self.scale_type)[:, 0]

    def _join(self, codes: Codes, scales: Scales) -> Bytes:
        stored = (codes + 1).view(np.uint8).reshape(-1, self.block)
        coded = self._encode(stored).reshape(len(codes), -1)
        return np.concatenate([scales.view(np.uint8).reshape(len(codes), -1), coded], axis=1).reshape(-1)


class IQ2BNFormat(ScaledRowsFormat):
    name = "IQ2_BN"
    ggml_type = 135
    block_bytes = 16
    scale_type = "<f4"
    scale_format = "F32"

    def _encode(self, stored: Stored) -> Stored:
        coded: Stored = np.bitwise_or.reduce(stored.reshape(-1, 4, 16) << _SHIFTS, axis=1)
        return coded

    def _decode(self, coded: Stored) -> Stored:
        return ((coded[:, None, :] >> _SHIFTS) & np.uint8(3)).reshape(-1, 64)

    def with_legal_codes(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        scales, codes = np.split(packed.reshape(rows, -1), [self.scale_bytes], axis=1)
        return np.concatenate([scales, without_code_3(codes)], axis=1).reshape(-1)


class IQ1BNFormat(ScaledRowsFormat):
    name = "IQ1_BN"
    ggml_type = 134
    block_bytes = 13
    scale_type = "<f2"
    scale_format = "F16"
    rounding = F16.rounding

    def _encode(self, stored: Stored) -> Stored:
        sixteens = stored.reshape(-1, 4, 16)
        fives = _to_byte(sixteens[:, :, :15].reshape(-1, 12, 5))
        rest = _to_byte(np.pad(sixteens[:, :, 15], ((0, 0), (0, 1))))
        return np.concatenate([fives, rest[:, None]], axis=1)

    def _decode(self, coded: Stored) -> Stored:
        fives = _digits(coded[:, :12]).reshape(-1, 4, 15)
        rest = _digits(coded[:, 12:])[:, 0, :4, None]
        return np.concatenate([fives, rest], axis=2).reshape(-1, 64)


def _to_byte(digits: Stored) -> Stored:
    """Five digits in base 3, the first one least, as a fraction of 243 in eight bits."""
    value = digits.astype(np.int32) @ np.array([1, 3, 9, 27, 81])
    coded: Stored = ((256 * value + 242) // 243).astype(np.uint8)
    return coded


def _digits(coded: Stored) -> Stored:
    """(..., 5) of bytes (...,)."""
    kept = coded[..., None] * _POWERS
    digits: Stored = (3 * kept.astype(np.uint16) >> 8).astype(np.uint8)
    return digits


IQ2_BN = IQ2BNFormat()
IQ1_BN = IQ1BNFormat()
