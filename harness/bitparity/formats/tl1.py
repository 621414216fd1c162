"""TL1: pairs of ternary weights as 4-bit table indices, in the order in which bitnet.cpp's ARM kernel reads
them.

A pair (u, v) of neighbours in a row is the index 3u + v + 4, in 0..8.  A byte holds the indices of two
neighbouring pairs, the first in its high half.  Bytes follow the tiles of the kernel (see table_lookup.py):
tile of rows, tile of columns, step of rows, 256 / step columns, then sixteen rows at a time, so that one
vector load feeds one lookup.  The tail with the scale is, in a file, the tensor NAME_scale that follows.
Source: bitnet.cpp utils/convert-hf-to-gguf-bitnet.py, preprocess_weights_tl1; ggml_nbytes.
"""

from __future__ import annotations

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes
from bitparity.formats.table_lookup import PAIRS, TL1_TILINGS, TableLookupFormat, Tiling, Tilings

LANES = 16  # rows of one vector
STEP_WEIGHTS = 256  # rows of a step times its columns
# axes of the pairs in a matrix: row tile, step, sixteen, row, column tile, column block, pair of pairs, pair;
# axes in memory:                row tile, column tile, step, column block, sixteen, pair of pairs, row, pair
_TO_MEMORY = (0, 4, 1, 5, 2, 6, 3, 7)
_TO_MATRIX = tuple(int(axis) for axis in np.argsort(_TO_MEMORY))


class TL1Format(TableLookupFormat):
    name = "TL1"
    ggml_type = 38
    block = 4

    def __init__(self, tilings: Tilings = TL1_TILINGS) -> None:
        super().__init__(tilings)

    def _divides(self, tiling: Tiling, rows: int, cols: int) -> bool:
        if tiling.step % LANES or STEP_WEIGHTS % (self.block * tiling.step):
            return False
        width = STEP_WEIGHTS // tiling.step
        remainders = (rows % tiling.rows, cols % tiling.cols, tiling.rows % tiling.step, tiling.cols % width)
        return not any(remainders)

    def _encode(self, codes: Codes) -> Bytes:
        rows, cols = codes.shape
        indices = (3 * codes[:, 0::2] + codes[:, 1::2] + 4).astype(np.uint8)
        axes = _matrix_axes(rows, cols, self.tilings[rows, cols])
        pairs = indices.reshape(axes).transpose(_TO_MEMORY)
        return pairs[..., 0] << np.uint8(4) | pairs[..., 1]

    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes:
        axes = _matrix_axes(rows, cols, self.tilings[rows, cols])
        nibbles = np.stack([data >> np.uint8(4), data & np.uint8(15)], axis=-1)
        if nibbles.max() > 8:
            raise BadInput(
                f"{self.name}: byte {int((nibbles > 8).any(axis=-1).argmax())} holds an index above 8"
            )
        memory = nibbles.reshape([axes[axis] for axis in _TO_MEMORY])
        return PAIRS[memory.transpose(_TO_MATRIX)].reshape(rows, cols)


def _matrix_axes(rows: int, cols: int, tiling: Tiling) -> tuple[int, ...]:
    width = STEP_WEIGHTS // tiling.step
    return (
        *(rows // tiling.rows, tiling.rows // tiling.step, tiling.step // LANES, LANES),
        *(cols // tiling.cols, tiling.cols // width, width // 4, 2),
    )


TL1 = TL1Format()
