"""I2_S: its layout weight by weight, its tail, and the rule of bitnet.cpp's quantizer."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.i2_s import I2_S

SHAPES = [(1, 128), (3, 256), (5, 384), (2, 6912)]


def random_codes(rows: int, cols: int) -> np.ndarray:
    return np.random.default_rng(rows * cols).integers(-1, 2, (rows, cols)).astype(np.int8)


@pytest.mark.parametrize("weight", [0, 1, 31, 32, 63, 64, 96, 127, 128, 200, 255])
def test_one_weight_lies_where_the_layout_says(weight: int) -> None:
    codes = np.zeros((1, 256), np.int8)
    codes[0, weight] = 1
    expected = np.full(64, 0b01010101, np.uint8)  # code 1 is a zero weight
    byte, shift = weight // 128 * 32 + weight % 32, 6 - 2 * (weight % 128 // 32)
    expected[byte] += np.uint8(1 << shift)
    np.testing.assert_array_equal(I2_S.pack_codes(codes, 1.0)[:64], expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_codes_and_scale_come_back(shape: tuple[int, int]) -> None:
    codes = random_codes(*shape)
    packed = I2_S.pack_codes(codes, 0.8125)
    assert packed.size == I2_S.size(*shape) == codes.size // 4 + 32
    actual, scale = I2_S.unpack_codes(packed, *shape)
    np.testing.assert_array_equal(actual, codes)
    np.testing.assert_array_equal(scale, [[np.float32(0.8125)]])
    np.testing.assert_array_equal(I2_S.unpack(packed, *shape), codes * np.float32(0.8125))


def test_tail_is_the_scale_and_zeros() -> None:
    tail = I2_S.pack_codes(random_codes(1, 128), 2.5)[-32:]
    assert tail.tobytes() == np.float32(2.5).tobytes() + bytes(28)


def test_tail_bytes_after_the_scale_are_not_read() -> None:
    packed = I2_S.pack_codes(random_codes(1, 128), 2.5)
    dirty = packed.copy()
    dirty[-28:] = 0xAB  # what bitnet.cpp's quantizer leaves there is whatever was in its buffer
    np.testing.assert_array_equal(I2_S.unpack(dirty, 1, 128), I2_S.unpack(packed, 1, 128))


def test_pack_takes_sign_and_maximum_with_a_dead_zone() -> None:
    values = np.zeros((1, 128), np.float32)
    values[0, :6] = [0.5, -3.0, 1e-6, -1e-6, 9.999e-7, -9.999e-7]
    codes, scale = I2_S.unpack_codes(I2_S.pack(values), 1, 128)
    # float32(1e-6) is a little below the double 1e-6 that it is compared with, so it is in the dead zone
    assert codes[0, :6].tolist() == [1, -1, 0, 0, 0, 0]
    assert scale == 3.0


def test_pack_of_ternary_values_is_exact() -> None:
    codes = random_codes(3, 256)
    np.testing.assert_array_equal(
        I2_S.pack(codes * np.float32(0.3)), I2_S.pack_codes(codes, float(np.float32(0.3)))
    )


def test_all_zero_weights_have_scale_zero() -> None:
    codes, scale = I2_S.unpack_codes(I2_S.pack(np.zeros((1, 128), np.float32)), 1, 128)
    assert not codes.any()
    assert scale == 0


def test_columns_that_are_no_whole_block_are_refused() -> None:
    with pytest.raises(ShapeError, match="192 columns is not a multiple of its block of 128"):
        I2_S.size(
            2, 192
        )  # 384 weights fill three blocks, but bitnet.cpp's matmul would drop half of every row


def test_code_three_is_refused_with_its_place() -> None:
    packed = I2_S.pack_codes(random_codes(2, 256), 1.0)
    packed[64 + 32 + 5] |= 0b00110000  # row 1, second block, byte 5, second group of 32
    with pytest.raises(BadInput, match="row 1, column 165 has the code 3"):
        I2_S.unpack_codes(packed, 2, 256)


def test_code_out_of_range_is_refused_with_its_place() -> None:
    codes = random_codes(2, 128)
    codes[1, 7] = 2
    with pytest.raises(BadInput, match="code 2 at row 1, column 7"):
        I2_S.pack_codes(codes, 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    values = np.zeros((2, 128), np.float32)
    values[1, 3] = value
    with pytest.raises(BadInput, match="row 1, column 3"):
        I2_S.pack(values)


@pytest.mark.parametrize("scale", [0.1, float("nan")])
def test_scale_that_is_no_float32_is_refused(scale: float) -> None:
    with pytest.raises(BadInput, match="no finite float32"):
        I2_S.pack_codes(random_codes(1, 128), scale)
