"""TQ1_0 of ggml: 1.69 bits a weight, blocks of 256 in 54 bytes, five base-3 digits a byte.

A byte holds digits d0 ... d4 as the fraction ceil((81 d0 + 27 d1 + 9 d2 + 3 d3 + d4) * 256 / 243), so that
digit k is the integer part of 3 * frac(3^k * byte / 256).  Three runs, then the F16 scale:

| bytes | weights | digit k of byte j |
|---|---|---|
| 32 | 0 ... 159 | weight j + 32 k |
| 16 | 160 ... 239 | weight 160 + j + 16 k |
| 4 | 240 ... 255 | weight 240 + j + 4 k, four digits, the fifth is 0 |
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.tq import Stored, TqFormat

_RUNS = ((32, 5), (16, 5), (4, 4))  # bytes, digits a byte
_POWERS = 3 ** np.arange(5)


class TQ10Format(TqFormat):
    name = "TQ1_0"
    ggml_type = 34
    block_bytes = 54

    def _encode(self, stored: Stored) -> Stored:
        coded, first = [], 0
        for width, digits in _RUNS:
            run = stored[:, first : first + width * digits].reshape(-1, digits, width)
            number = np.zeros((len(stored), width), dtype=np.uint16)
            for k in range(digits):
                number += run[:, k] * np.uint16(_POWERS[4 - k])
            coded.append(((number * np.uint32(256) + np.uint32(242)) // np.uint32(243)).astype(np.uint8))
            first += width * digits
        return np.concatenate(coded, axis=1)

    def _decode(self, coded: Stored) -> Stored:
        stored = np.empty((len(coded), self.block), dtype=np.uint8)
        first_byte = first = 0
        for width, digits in _RUNS:
            run = coded[:, first_byte : first_byte + width]
            for k in range(digits):
                fraction = run * np.uint8(_POWERS[k])  # wraps at 256: the integer part is dropped
                stored[:, first : first + width] = (fraction.astype(np.uint16) * np.uint16(3)) >> np.uint16(8)
                first += width
            first_byte += width
        return stored


TQ1_0 = TQ10Format()
