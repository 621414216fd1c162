"""TL2: triples of ternary weights as a sign and a 4-bit table index, in the order of bitnet.cpp's x86 kernel.

A triple (u, v, w) of neighbours in a row has the value t = 9u + 3v + w, in -13..13; abs(t) is the index,
and one more bit says that t is negative.  Columns that do not fill a tile of columns are packed in pairs,
index 3u + v + 4, as in TL1.
In memory: all triple indices (two a byte, first in the high half), all signs, all pair indices, zeros up to
a size that counts 256 columns as pairs, zeros up to a multiple of 32, then the tail.
Inside a step of 32 rows the bytes of rows 8-15 and 16-23 change places, as the kernel's unpacking needs.

Source: bitnet.cpp utils/convert-hf-to-gguf-bitnet.py, preprocess_weights_tl2; ggml_nbytes;
utils/codegen_tl2.py.
The headers in bitnet.cpp's preset_kernels/ look for the scale at rows * cols / 4, outside the tensor; those
that codegen_tl2.py generates look where it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Bytes, Codes
from bitparity.formats.table_lookup import PAIRS, TL2_TILINGS, TRIPLES, TableLookupFormat, Tiling, Tilings

STEP = 32  # rows of one vector step
PAIR_TILE = 32  # columns
SIGN_COLS = 24  # eight triples, whose signs share a word
PAIR_COLUMNS = 256  # columns that bitnet.cpp makes room for as pairs, however many there are
# axes of table indices: row tile, step, eight, row, column tile, column block, index of two
# axes in memory:        row tile, column tile, step, column block, eight, row, index of two
_TO_MEMORY = (0, 4, 1, 5, 2, 3, 6)
# axes of signs:  row tile, step, half of the step, row, column tile, block of 8 triples, triple
# axes in memory: row tile, column tile, step, block of 8 triples, row, triple, half of the step
_SIGNS_TO_MEMORY = (0, 4, 1, 5, 3, 6, 2)


class TL2Format(TableLookupFormat):
    name = "TL2"
    ggml_type = 39
    block = 32

    def __init__(self, tilings: Tilings = TL2_TILINGS) -> None:
        super().__init__(tilings)

    def _divides(self, tiling: Tiling, rows: int, cols: int) -> bool:
        left_over = cols % tiling.cols
        remainders = (rows % tiling.rows, left_over % PAIR_TILE, tiling.rows % STEP, tiling.cols % SIGN_COLS)
        return tiling.step == STEP and left_over <= PAIR_COLUMNS and not any(remainders)

    def _code_bytes(self, rows: int, cols: int) -> int:
        """All but 256 columns as triples of 5 bits, and those as pairs of 4 bits, rounded up to 32 bytes."""
        if cols < PAIR_COLUMNS:
            raise ShapeError(f"TL2: {cols} columns are fewer than the {PAIR_COLUMNS} that it packs as pairs")
        # in bitnet.cpp's own order of integer divisions
        codes = (cols - PAIR_COLUMNS) * rows // 3 * 5 // 8 + PAIR_COLUMNS * rows // 2 * 4 // 8
        return -(-codes // 32) * 32

    def _encode(self, codes: Codes) -> Bytes:
        rows, cols = codes.shape
        tiling = self.tilings[rows, cols]
        split = cols - cols % tiling.cols
        triples = 9 * codes[:, 0:split:3] + 3 * codes[:, 1:split:3] + codes[:, 2:split:3]
        pairs = 3 * codes[:, split::2] + codes[:, split + 1 :: 2] + 4
        parts = [
            _to_nibbles(np.abs(triples), tiling.rows, tiling.cols // 3),
            _to_sign_bytes(triples < 0, tiling),
            _to_nibbles(pairs, tiling.rows, PAIR_TILE // 2),
        ]
        used = np.concatenate(parts)
        return np.pad(used, (0, self._code_bytes(rows, cols) - used.size))

    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes:
        tiling = self.tilings[rows, cols]
        split = cols - cols % tiling.cols
        ends = np.cumsum([rows * split // 6, rows * split // 24, rows * (cols - split) // 4])
        triple_bytes, sign_bytes, pair_bytes = np.split(data[: ends[2]], ends[:2])
        triples = _lookup(
            TRIPLES, 13, _from_nibbles(triple_bytes, rows, split // 3, tiling.rows, tiling.cols // 3)
        )
        negative = _from_sign_bytes(sign_bytes, rows, split, tiling)
        pairs = _lookup(
            PAIRS, 8, _from_nibbles(pair_bytes, rows, (cols - split) // 2, tiling.rows, PAIR_TILE // 2)
        )
        signed = np.where(negative[..., None], -triples, triples)
        return np.concatenate([signed.reshape(rows, split), pairs.reshape(rows, cols - split)], axis=1)


def _lookup(table: Codes, last: int, indices: Bytes) -> Codes:
    if indices.size and indices.max() > last:
        row, index = np.argwhere(indices > last)[0]
        raise BadInput(
            f"TL2: group {index} of row {row} has the index {indices[row, index]}; no packer writes that"
        )
    return table[indices]


def _nibble_axes(rows: int, width: int, tile_rows: int, tile_width: int) -> tuple[int, ...]:
    return rows // tile_rows, tile_rows // STEP, 4, 8, width // tile_width, tile_width // 2, 2


def _to_nibbles(indices: NDArray[np.int8], tile_rows: int, tile_width: int) -> Bytes:
    axes = _nibble_axes(indices.shape[0], indices.shape[1], tile_rows, tile_width)
    memory = indices.astype(np.uint8).reshape(axes).transpose(_TO_MEMORY)[..., [0, 2, 1, 3], :, :]
    return (memory[..., 0] << np.uint8(4) | memory[..., 1]).reshape(-1)


def _from_nibbles(data: Bytes, rows: int, width: int, tile_rows: int, tile_width: int) -> Bytes:
    axes = _nibble_axes(rows, width, tile_rows, tile_width)
    nibbles = np.stack([data >> np.uint8(4), data & np.uint8(15)], axis=-1)
    memory = nibbles.reshape([axes[axis] for axis in _TO_MEMORY])[..., [0, 2, 1, 3], :, :]
    return memory.transpose(np.argsort(_TO_MEMORY)).reshape(rows, width)


def _sign_axes(rows: int, width: int, tiling: Tiling) -> tuple[int, ...]:
    tile_width = tiling.cols // 3
    return rows // tiling.rows, tiling.rows // STEP, 2, STEP // 2, width // tile_width, tile_width // 8, 8


def _to_sign_bytes(negative: NDArray[np.bool_], tiling: Tiling) -> Bytes:
    """16 bits for a row and the row half a step below: triple s of the upper is bit 15 - 2s, of the lower
    14 - 2s."""
    axes = _sign_axes(negative.shape[0], negative.shape[1], tiling)
    memory = negative.reshape(axes).transpose(_SIGNS_TO_MEMORY)
    return np.packbits(memory.reshape(-1, 16), axis=1)[:, ::-1].reshape(-1)  # little-endian words


def _from_sign_bytes(data: Bytes, rows: int, split: int, tiling: Tiling) -> NDArray[np.bool_]:
    axes = _sign_axes(rows, split // 3, tiling)
    bits = np.unpackbits(data.reshape(-1, 2)[:, ::-1], axis=1).astype(np.bool_)
    memory = bits.reshape([axes[axis] for axis in _SIGNS_TO_MEMORY])
    return memory.transpose(np.argsort(_SIGNS_TO_MEMORY)).reshape(rows, split // 3)


TL2 = TL2Format()
