"""Another implementation of the layouts that nobody else implements here: where each weight lies, by formula.

The definitions in bitparity.formats move the axes of arrays.  Here the byte and the bits of every weight are
computed from its row and column, as a loop in C would.  The two share no code but the numbers of the tilings,
so a mistake in one of them shows as a difference.  There are no checks: weights are finite and shapes fit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.table_lookup import Tiling
from bitparity.fuzz.cases import TILINGS
from bitparity.fuzz.implementations import Function, Implementation, Operation, without_placement

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Fields:
    """Some bits each: the bytes that they lie in, and how far up in them they begin."""

    byte: Any
    shift: Any

    def write(self, packed: Bytes, values: Integers) -> None:
        byte, shifted = np.broadcast_arrays(self.byte, values << self.shift)
        np.bitwise_or.at(packed, byte, shifted.astype(np.uint8))

    def read(self, packed: Bytes, bits: int) -> Integers:
        fields: Integers = packed[self.byte].astype(np.int64) >> self.shift & ((1 << bits) - 1)
        return fields


class OneScale(ABC):
    """Signs of weights, then a float32 scale: the largest magnitude.  Weights below `dead` are 0."""

    dead = 1e-6

    @abstractmethod
    def write(self, packed: Bytes, codes: Integers) -> None: ...

    @abstractmethod
    def read(self, packed: Bytes, rows: int, cols: int) -> Integers: ...

    def code_bytes(self, rows: int, cols: int) -> int:
        return rows * cols // 4

    def pack(self, values: Floats) -> Bytes:
        magnitudes = np.abs(values.astype(np.float64))
        start = self.code_bytes(*values.shape)
        packed = np.zeros(start + 32, dtype=np.uint8)
        self.write(packed, np.where(magnitudes < self.dead, 0, np.sign(values)).astype(np.int64))
        packed[start : start + 4] = np.frombuffer(np.float32(magnitudes.max()).tobytes(), np.uint8)
        return packed

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        start = self.code_bytes(rows, cols)
        scale = np.frombuffer(packed[start : start + 4].tobytes(), np.float32)
        return self.read(packed, rows, cols).astype(np.float32) * scale


class WholeBytes(OneScale):
    """A code a byte, in two's complement."""

    def write(self, packed: Bytes, codes: Integers) -> None:
        packed[: codes.size] = codes.reshape(-1) % 256

    def read(self, packed: Bytes, rows: int, cols: int) -> Integers:
        stored = packed[: rows * cols].astype(np.int64).reshape(rows, cols)
        return np.where(stored < 128, stored, stored - 256)

    def code_bytes(self, rows: int, cols: int) -> int:
        return rows * cols


class TwoBits(OneScale):
    """A code plus one in two bits; `fields` gives the place of the weight at (row, col)."""

    def __init__(self, fields: Callable[[Integers, Integers, int], Fields]) -> None:
        self._fields = fields

    def write(self, packed: Bytes, codes: Integers) -> None:
        self._fields(*_places(*codes.shape), codes.shape[1]).write(packed, codes + 1)

    def read(self, packed: Bytes, rows: int, cols: int) -> Integers:
        return self._fields(*_places(rows, cols), cols).read(packed, 2) - 1


def _places(rows: int, width: int) -> tuple[Integers, Integers]:
    row, col = np.ogrid[:rows, :width]
    return row, col


def _in_blocks(block: int) -> Callable[[Integers, Integers, int], Fields]:
    run = block // 4  # bytes of a block

    def fields(row: Integers, col: Integers, cols: int) -> Fields:
        return Fields((row * cols + col) // block * run + col % run, 6 - 2 * (col % block // run))

    return fields


def _in_four_rows(row: Integers, col: Integers, cols: int) -> Fields:
    return Fields(row // 4 * cols + col, 6 - 2 * (row % 4))


class TableLookup(OneScale):
    """What TL1 and TL2 share: their dead zone, which ends at the float32 below 1e-6, and pairs."""

    dead = float(np.float32(1e-6))

    @staticmethod
    def pairs_of(codes: Integers) -> Integers:
        return 3 * codes[:, 0::2] + codes[:, 1::2] + 4

    @staticmethod
    def codes_of(pairs: Integers) -> Integers:
        return np.stack([pairs // 3 - 1, pairs % 3 - 1], axis=-1).reshape(len(pairs), -1)


class TL1(TableLookup):
    """Sixteen bytes of one load are sixteen rows, which look up one table."""

    def write(self, packed: Bytes, codes: Integers) -> None:
        _tl1_pairs(*codes.shape).write(packed, self.pairs_of(codes))

    def read(self, packed: Bytes, rows: int, cols: int) -> Integers:
        return self.codes_of(_tl1_pairs(rows, cols).read(packed, 4))


def _tl1_pairs(rows: int, cols: int) -> Fields:
    row, pair = _places(rows, cols // 2)
    tile, col = TILINGS["TL1"][rows, cols], 2 * pair
    width = 256 // tile.step
    at = row // tile.rows
    at = at * (cols // tile.cols) + col // tile.cols
    at = at * (tile.rows // tile.step) + row % tile.rows // tile.step
    at = at * (tile.cols // width) + col % tile.cols // width
    at = at * (tile.step // 16) + row % tile.step // 16
    at = at * (width // 4) + col % width // 4
    return Fields(at * 16 + row % 16, 4 - 4 * (pair % 2))


class TL2(TableLookup):
    """Magnitudes of triples, their signs, and what is left of the columns after whole tiles in pairs."""

    def code_bytes(self, rows: int, cols: int) -> int:
        in_pairs = 256 * rows // 2 * 4 // 8  # however many columns they are
        return ((cols - 256) * rows // 3 * 5 // 8 + in_pairs + 31) // 32 * 32

    def write(self, packed: Bytes, codes: Integers) -> None:
        parts = _Parts(*codes.shape)
        u, v, w = (codes[:, first : parts.split : 3] for first in range(3))
        triples = 9 * u + 3 * v + w
        parts.magnitudes.write(packed, np.abs(triples))
        parts.signs.write(packed, (triples < 0).astype(np.int64))
        parts.pairs.write(packed, self.pairs_of(codes[:, parts.split :]))

    def read(self, packed: Bytes, rows: int, cols: int) -> Integers:
        parts = _Parts(rows, cols)
        digits = parts.magnitudes.read(packed, 4) + 13  # of 9 (u + 1) + 3 (v + 1) + (w + 1)
        triples = np.stack([digits // 9 - 1, digits // 3 % 3 - 1, digits % 3 - 1], axis=-1)
        triples *= 1 - 2 * parts.signs.read(packed, 1)[..., None]
        return np.concatenate([triples.reshape(rows, -1), self.codes_of(parts.pairs.read(packed, 4))], axis=1)


class _Parts:
    """Where the parts of a TL2 weight lie; the first `split` columns are in triples."""

    def __init__(self, rows: int, cols: int) -> None:
        tile = TILINGS["TL2"][rows, cols]
        self.split = cols - cols % tile.cols
        signs = rows * self.split // 6
        pairs = signs + rows * self.split // 24
        self.magnitudes = _tl2_groups(0, rows, self.split // 3, tile, tile.cols // 3)
        self.signs = _tl2_signs(signs, rows, self.split // 3, tile)
        self.pairs = _tl2_groups(pairs, rows, (cols - self.split) // 2, tile, 16)


def _tl2_groups(start: int, rows: int, width: int, tile: Tiling, tile_width: int) -> Fields:
    """Indices of groups, `width` in a row: rows 8-15 and 16-23 of a step of 32 change places."""
    row, group = _places(rows, width)
    eight = np.array([0, 2, 1, 3])[row % 32 // 8]
    at = row // tile.rows
    at = at * (width // tile_width) + group // tile_width
    at = at * (tile.rows // 32) + row % tile.rows // 32
    at = at * (tile_width // 2) + group % tile_width // 2
    return Fields(start + at * 32 + eight * 8 + row % 8, 4 - 4 * (group % 2))


def _tl2_signs(start: int, rows: int, width: int, tile: Tiling) -> Fields:
    """Words of 16 bits: signs of eight triples, the first uppermost, in turn with those of 16 rows below."""
    row, triple = _places(rows, width)
    tile_width = tile.cols // 3
    word = row // tile.rows
    word = word * (width // tile_width) + triple // tile_width
    word = word * (tile.rows // 32) + row % tile.rows // 32
    word = word * (tile_width // 8) + triple % tile_width // 8
    word = word * 16 + row % 16
    bit = 15 - 2 * (triple % 8) - row % 32 // 16
    return Fields(start + 2 * word + bit // 8, bit % 8)


class QK256:
    """Four levels, the nearest of them to a weight; rows are padded to whole blocks of 64 bytes."""

    def pack(self, values: Floats) -> Bytes:
        rows, cols = values.shape
        packed = np.zeros(rows * -(-cols // 256) * 64, dtype=np.uint8)
        level = sum((values >= middle).astype(np.int64) for middle in (-1.5, 0.0, 1.5))
        self._fields(rows, cols).write(packed, np.asarray(level))
        return packed

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        level = self._fields(rows, cols).read(packed, 2)
        return (level - 2 + level // 2).astype(np.float32)

    def _fields(self, rows: int, cols: int) -> Fields:
        row, col = _places(rows, cols)
        return Fields(row * (-(-cols // 256) * 64) + col // 4, 2 * (col % 4))


class OwnScales(ABC):
    """Runs of weights with a scale of their own, the largest magnitude; smaller weights are 0 by `signs_of`.

    width  weights of a run; 0 for a whole row
    """

    scale: DTypeLike = np.float16

    def __init__(self, width: int = 0) -> None:
        self._width = width

    @abstractmethod
    def signs_of(self, runs: Floats, largest: Floats) -> Integers: ...

    @abstractmethod
    def code_bytes(self, width: int) -> int: ...

    @abstractmethod
    def write(self, packed: Bytes, codes: Integers, start: int) -> None: ...

    @abstractmethod
    def read(self, packed: Bytes, width: int, start: int) -> Integers: ...

    def pack(self, values: Floats) -> Bytes:
        runs = values.reshape(-1, self._width or values.shape[1])
        largest = np.abs(runs).max(axis=1, keepdims=True)
        scales = largest.astype(self.scale).view(np.uint8)
        packed = np.zeros((len(runs), scales.shape[1] + self.code_bytes(runs.shape[1])), np.uint8)
        packed[:, : scales.shape[1]] = scales
        for run, codes in zip(packed, self.signs_of(runs, largest), strict=True):
            self.write(run, codes + 1, scales.shape[1])
        return packed.reshape(-1)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        width, start = self._width or cols, np.dtype(self.scale).itemsize
        runs = packed.reshape(rows * cols // width, -1)
        scales = np.ascontiguousarray(runs[:, :start]).view(self.scale).astype(np.float32)
        codes = np.array([self.read(run, width, start) - 1 for run in runs])
        return (codes.astype(np.float32) * scales).reshape(rows, cols)


class Q20(OwnScales):
    """Four consecutive weights a byte; w / largest is rounded, which in float32 is w * (1 / largest)."""

    def signs_of(self, runs: Floats, largest: Floats) -> Integers:
        inverse = np.float32(1) / largest
        is_kept = np.isfinite(inverse) & (np.abs(runs * inverse) >= np.float32(0.5))
        return np.where(is_kept, np.sign(runs), 0).astype(np.int64)

    def code_bytes(self, width: int) -> int:
        return width // 4

    def write(self, packed: Bytes, codes: Integers, start: int) -> None:
        self._fields(len(codes), start).write(packed, codes)

    def read(self, packed: Bytes, width: int, start: int) -> Integers:
        return self._fields(width, start).read(packed, 2)

    @staticmethod
    def _fields(width: int, start: int) -> Fields:
        i = np.arange(width)
        return Fields(start + i // 4, 2 * (i % 4))


class BitNetRows(OwnScales):
    """What the rows of ik_llama.cpp share: weights below half of the largest are 0."""

    def signs_of(self, runs: Floats, largest: Floats) -> Integers:
        signs = 1 - 2 * (runs < 0)
        return np.where(np.abs(runs) < np.float32(0.5) * largest, 0, signs).astype(np.int64)


class IQ2BN(BitNetRows):
    """In 16 bytes the weights j, 16 + j, 32 + j and 48 + j share byte j."""

    scale = np.float32

    def code_bytes(self, width: int) -> int:
        return width // 4

    def write(self, packed: Bytes, codes: Integers, start: int) -> None:
        self._fields(len(codes), start).write(packed, codes)

    def read(self, packed: Bytes, width: int, start: int) -> Integers:
        return self._fields(width, start).read(packed, 2)

    @staticmethod
    def _fields(width: int, start: int) -> Fields:
        i = np.arange(width)
        return Fields(start + i // 64 * 16 + i % 16, 2 * (i % 64 // 16))


class IQ1BN(BitNetRows):
    """Numbers of five digits in base 3 as 256ths, rounded up: one digit a weight, the first one least."""

    def code_bytes(self, width: int) -> int:
        return width // 64 * 13

    def write(self, packed: Bytes, codes: Integers, start: int) -> None:
        byte, power = self._digits(len(codes), start)
        numbers = np.zeros(len(packed), np.int64)
        np.add.at(numbers, byte, codes * power)
        packed[start:] = -(-256 * numbers[start:] // 243)

    def read(self, packed: Bytes, width: int, start: int) -> Integers:
        byte, power = self._digits(width, start)
        digits: Integers = packed[byte].astype(np.int64) * 243 // 256 // power % 3
        return digits

    @staticmethod
    def _digits(width: int, start: int) -> tuple[Integers, Integers]:
        """Of every weight its byte and its power of 3: of 16 weights the last is in the block's last byte."""
        i = np.arange(width)
        sixteen, j = i % 64 // 16, i % 16
        byte = start + i // 64 * 13 + np.where(j < 15, 3 * sixteen + j // 5, 12)
        return byte, 3 ** np.where(j < 15, j % 5, sixteen)


def _unpack_q8_1(packed: Bytes, rows: int, cols: int) -> Floats:
    """Blocks of 36 bytes: the scale, a sum that no weight depends on, 32 codes."""
    blocks = packed.reshape(-1, 36)
    scales = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    return (blocks[:, 4:].view(np.int8).astype(np.float32) * scales).reshape(rows, cols)


def _unpack_i8_s(packed: Bytes, rows: int, cols: int) -> Floats:
    codes = np.frombuffer(packed.tobytes(), np.int8, rows * cols)
    scales = np.frombuffer(packed.tobytes(), np.float32, rows, offset=rows * cols)
    return (codes.astype(np.float32) / np.repeat(scales, cols)).astype(np.float32).reshape(rows, cols)


_LAYOUTS: dict[str, OneScale | OwnScales | QK256] = {
    "I2_S": TwoBits(_in_blocks(128)),
    "I2_S_ARM": TwoBits(_in_blocks(64)),
    "I2_S_SEQ": TwoBits(lambda row, col, cols: Fields((row * cols + col) // 4, 2 * (col % 4))),
    "I2_S_X4": TwoBits(_in_four_rows),
    "TL1": TL1(),
    "TL2": TL2(),
    "QK256": QK256(),
    "Q2_0_G128": Q20(128),
    "IQ2_BN": IQ2BN(),
    "IQ1_BN": IQ1BN(),
    "CODES": WholeBytes(),
}
_UNPACKED = {"I8_S": _unpack_i8_s, "Q8_1": _unpack_q8_1}  # what others pack, and do not unpack


def addresses_implementation() -> Implementation:
    functions: dict[tuple[Operation, str], Function] = {
        ("unpack", name): without_placement(unpack) for name, unpack in _UNPACKED.items()
    }
    for name, layout in _LAYOUTS.items():
        functions["pack", name] = without_placement(layout.pack)
        functions["unpack", name] = without_placement(layout.unpack)
    return Implementation("addresses", functions)
