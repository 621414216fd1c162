"""The tiles of bitnet.cpp's table-lookup kernels: a kernel is generated for one weight shape and one tiling.

The numbers are those of the kernel_config.ini files in bitnet.cpp's preset_kernels/.  A shape that has no
kernel cannot be packed: bitnet.cpp's converter raises, its kernels would give garbage.  A user who
generated other kernels gives the kernel_config.ini that codegen_tl1.py or codegen_tl2.py wrote, because
packed weights do not say which kernels they are for.
"""

from __future__ import annotations

from abc import abstractmethod
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Bytes
from bitparity.formats.one_scale import OneScaleFormat
from bitparity.formats.rules import CONVERTER_DEAD_ZONE


@dataclass(frozen=True)
class Tiling:
    """rows of a tile (bm), columns of a tile (bk), rows handled by one vector step (bmm)."""

    rows: int
    cols: int
    step: int


Tilings = dict[tuple[int, int], Tiling]  # (rows, cols) of the weight -> its tiling

TL1_TILINGS: Tilings = {
    (1536, 4096): Tiling(256, 128, 32),
    (1536, 1536): Tiling(128, 64, 64),
    (4096, 1536): Tiling(256, 128, 32),
    (3200, 8640): Tiling(160, 64, 32),
    (3200, 3200): Tiling(320, 128, 64),
    (8640, 3200): Tiling(320, 64, 32),
    (14336, 4096): Tiling(256, 128, 64),
    (4096, 14336): Tiling(256, 128, 32),
    (1024, 4096): Tiling(128, 64, 64),
    (4096, 4096): Tiling(128, 64, 32),
}
TL2_TILINGS: Tilings = {
    (1536, 4096): Tiling(256, 96, 32),
    (1536, 1536): Tiling(128, 192, 32),
    (3200, 8640): Tiling(160, 96, 32),
    (3200, 3200): Tiling(320, 96, 32),
    (8640, 3200): Tiling(320, 96, 32),
    (14336, 4096): Tiling(256, 96, 32),
    (4096, 14336): Tiling(128, 96, 32),
    (1024, 4096): Tiling(256, 96, 32),
    (4096, 4096): Tiling(128, 96, 32),
}  # 4096 x 1536 has a preset too, with bmm = 64, on which bitnet.cpp's converter fails


class TableLookupFormat(OneScaleFormat):
    """A format whose bytes follow the tiles of a kernel; a tile mixes rows.

    tilings  of the kernels that weights are packed for
    """

    dead_zone = CONVERTER_DEAD_ZONE

    def __init__(self, tilings: Tilings) -> None:
        self.tilings = tilings

    def size(self, rows: int, cols: int) -> int:
        """ShapeError for a shape that has no kernel, and for tiles that no kernel can have."""
        tiling = tiling_of(self.name, self.tilings, rows, cols)
        size = self.size_in_file(rows, cols)
        if not self._divides(tiling, rows, cols):
            raise ShapeError(f"{self.name}: {tiling} does not divide a weight of {rows} x {cols}")
        return size

    def size_in_file(self, rows: int, cols: int) -> int:
        """Whatever the tiles, which a file does not tell."""
        return self._code_bytes(rows, cols) + self.tail_bytes

    @abstractmethod
    def _divides(self, tiling: Tiling, rows: int, cols: int) -> bool: ...

    def _legal(self, codes: Bytes) -> Bytes:
        """Every index at most that of the last pair; larger ones are legal for triples only."""
        high, low = codes >> np.uint8(4), codes & np.uint8(15)
        return (high % _PAIRS) << np.uint8(4) | low % _PAIRS


def tiling_of(name: str, tilings: Tilings, rows: int, cols: int) -> Tiling:
    """ShapeError for a shape that has no kernel."""
    if (rows, cols) not in tilings:
        known = ", ".join(f"{r} x {c}" for r, c in sorted(tilings))
        raise ShapeError(f"{name}: no kernel is generated for a weight of {rows} x {cols}; there are {known}")
    return tilings[rows, cols]


def read_kernel_config(path: Path) -> Tilings:
    """The tilings of a kernel_config.ini of bitnet.cpp: a section a kernel, with m, k, bm, bk and bmm.

    Raises BadInput for any other file.
    """
    config = ConfigParser()
    try:
        config.read_string(path.read_text())
        sections = [config[name] for name in config.sections()]
        tilings = {
            (int(s["m"]), int(s["k"])): Tiling(int(s["bm"]), int(s["bk"]), int(s["bmm"])) for s in sections
        }
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except (ConfigError, KeyError, ValueError) as error:
        raise BadInput(f"{path}: is no kernel configuration of bitnet.cpp: {error}") from error
    if not tilings or any(min(t.rows, t.cols, t.step) < 1 for t in tilings.values()):
        raise BadInput(
            f"{path}: is no kernel configuration of bitnet.cpp: it needs m, k, bm, bk and bmm above 0"
        )
    return tilings


def kernel_config_of(tilings: Tilings) -> str:
    """The text of a kernel_config.ini that read_kernel_config reads."""
    return "".join(
        f"[Kernels_{i}]\nm = {rows}\nk = {cols}\nbm = {tile.rows}\nbk = {tile.cols}\nbmm = {tile.step}\n"
        for i, ((rows, cols), tile) in enumerate(tilings.items())
    )


def _table(width: int, lowest: int) -> NDArray[np.int8]:
    """Ternary groups of `width` in order of their value in base 3, from the value `lowest` on, 16 at most."""
    groups = [group for group in product((-1, 0, 1), repeat=width) if _value(group) >= lowest]
    table = np.zeros((16, width), dtype=np.int8)
    table[: len(groups)] = groups
    return table


def _value(group: tuple[int, ...]) -> int:
    return sum(digit * 3**power for power, digit in enumerate(reversed(group)))


_PAIRS = np.uint8(9)  # number of pairs of ternary weights
PAIRS = _table(2, -4)  # index 3u + v + 4
TRIPLES = _table(3, 0)  # index 9u + 3v + w, of those that are not negative
