"""Weight formats of the core: real shapes of the table-lookup kernels, what is refused, and in which words.

That they pack, unpack and multiply as the NumPy definitions do is searched by tests/harness/test_fuzz_run.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity.formats import get_format
from bitparity.formats.table_lookup import TL1_TILINGS, TL2_TILINGS
from bitparity_native._core import formats

PRESETS = [
    (name, shape)
    for name, tilings in (("TL1", TL1_TILINGS), ("TL2", TL2_TILINGS))
    for shape in tilings
    if shape[0] * shape[1] <= 7_000_000  # larger ones take seconds each
]
NO_TILES = (0, 0, 0)


def tiles_of(name: str, shape: tuple[int, int]) -> tuple[int, int, int]:
    tiling = {"TL1": TL1_TILINGS, "TL2": TL2_TILINGS}[name][shape]
    return tiling.rows, tiling.cols, tiling.step


def pack(name: str, values: NDArray[np.float32], tiles: tuple[int, int, int] = NO_TILES) -> NDArray[Any]:
    packed = np.full(formats.size(name, *values.shape, tiles), 0xA5, dtype=np.uint8)
    formats.pack(name, tiles, values, packed)
    return packed


@pytest.mark.parametrize(("name", "shape"), PRESETS, ids=str)
def test_table_lookup_format_of_a_preset_shape_is_the_definition(name: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 2, shape, dtype=np.int8)
    values, tiles = codes * np.float32(0.3), tiles_of(name, shape)
    packed = pack(name, values, tiles)
    assert np.array_equal(packed, get_format(name).pack(values))
    unpacked = np.empty(shape, dtype=np.float32)
    formats.unpack(name, tiles, packed, unpacked)
    assert np.array_equal(unpacked, values)
    x = rng.integers(-128, 128, (2, shape[1]), dtype=np.int8)
    sums = np.full((2, shape[0]), -1, dtype=np.int32)
    formats.multiply(name, tiles, packed, x, sums)
    assert np.array_equal(sums, x.astype(np.float64) @ codes.T)  # below 2^53: exact


@pytest.mark.parametrize("name", ["TL1", "TL2"])
def test_table_lookup_format_refuses_indices_that_no_packer_writes(name: str) -> None:
    shape = (1024, 4096)
    tiles = tiles_of(name, shape)
    packed = np.full(formats.size(name, *shape, tiles), 0xFF, dtype=np.uint8)
    with pytest.raises(ValueError, match=f"{name}: row 0 has the index 15"):
        formats.unpack(name, tiles, packed, np.empty(shape, dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "shape", "tiles"),
    [
        ("TL1", (256, 256), NO_TILES),
        ("TL1", (100, 128), (32, 64, 32)),
        ("TL1", (64, 96), (32, 64, 32)),
        ("TL1", (48, 64), (48, 64, 48)),
        ("TL1", (96, 64), (48, 64, 32)),
        ("TL2", (32, 288), (32, 96, 64)),
        ("TL2", (32, 300), (32, 100, 32)),
        ("TL2", (32, 192), (32, 96, 32)),  # fewer columns than ggml_nbytes counts as pairs
        ("TL2", (32, 960), (32, 672, 32)),  # more left over than it counts
        ("TL2", (32, 592), (32, 576, 32)),
    ],
)
def test_table_lookup_format_refuses_tiles_that_do_not_divide(
    name: str, shape: tuple[int, int], tiles: tuple[int, int, int]
) -> None:
    with pytest.raises(ValueError, match=f"{name}: tiles of .* do not divide a weight of"):
        formats.size(name, *shape, tiles)


@pytest.mark.parametrize("name", ["I2_S", "I2_S_ARM", "I2_S_X4", "TQ2_0"])
def test_code_3_is_refused(name: str) -> None:
    packed = np.full(formats.size(name, 4, 256, NO_TILES), 0xFF, dtype=np.uint8)
    with pytest.raises(ValueError, match=f"{name}: .* has the code 3, which no packer writes"):
        formats.unpack(name, NO_TILES, packed, np.empty((4, 256), dtype=np.float32))


@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0", "Q8_0"])
def test_scale_beyond_f16_is_refused_and_the_largest_is_kept(name: str) -> None:
    step = 127 if name == "Q8_0" else 1
    values = np.zeros((1, 256), dtype=np.float32)
    values[0, 3] = np.float32(65519) * step
    unpacked = np.empty_like(values)
    formats.unpack(name, NO_TILES, pack(name, values), unpacked)
    assert unpacked[0, 3] == 65504 * step
    values[0, 3] = np.float32(65520) * step
    with pytest.raises(ValueError, match=f"{name}: the scale of a block is beyond F16"):
        pack(name, values)


def test_array_of_the_wrong_length_is_refused() -> None:
    packed = np.empty(63, dtype=np.uint8)
    with pytest.raises(ValueError, match="I2_S: packed has 63 bytes and needs 64"):
        formats.pack("I2_S", NO_TILES, np.zeros((1, 128), dtype=np.float32), packed)
    with pytest.raises(ValueError, match="sums is not"):
        formats.multiply("I2_S", NO_TILES, packed, np.zeros((1, 128), np.int8), np.zeros((2, 1), np.int32))
    with pytest.raises(ValueError, match="Q8_0 is not ternary"):
        formats.multiply("Q8_0", NO_TILES, packed, np.zeros((1, 32), np.int8), np.zeros((1, 1), np.int32))
    with pytest.raises(ValueError, match="no weight format of the core is named Q4_0"):
        formats.size("Q4_0", 1, 32, NO_TILES)


def test_every_packed_format_of_the_harness_is_in_the_core() -> None:
    from bitparity.formats import FORMATS

    assert set(formats.names()) == set(FORMATS)
