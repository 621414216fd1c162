"""Q2_0 with both of its block sizes, Q1_0, the formats of ik_llama.cpp and the sequential I2_S."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.formats import get_format, is_ternary
from bitparity.formats.q1_0 import Q1_0
from bitparity.model.tensor_types import tensor_size, type_name


@pytest.mark.parametrize("name", ["Q2_0", "Q2_0_G128", "IQ2_BN", "IQ1_BN", "I2_S_SEQ"])
def test_codes_and_scale_come_back(name: str) -> None:
    weight_format = get_format(name)
    assert is_ternary(weight_format)
    codes = np.random.default_rng(1).integers(-1, 2, (5, 256)).astype(np.int8)
    packed = weight_format.pack_codes(codes, 0.09375)
    assert packed.size == weight_format.size(5, 256) == tensor_size(name, (5, 256))
    actual, scales = weight_format.unpack_codes(packed, 5, 256)
    np.testing.assert_array_equal(actual, codes)
    np.testing.assert_array_equal(np.unique(scales), np.float32(0.09375))
    np.testing.assert_array_equal(weight_format.unpack(packed, 5, 256), codes * np.float32(0.09375))
    again = weight_format.pack(codes * np.float32(0.09375))
    np.testing.assert_array_equal(again, packed)


def test_codes_of_q2_0_lie_four_a_byte_after_the_scale() -> None:
    codes = np.zeros((1, 64), np.int8)
    codes[0, :4] = (1, -1, 0, 1)
    packed = get_format("Q2_0").pack_codes(codes, 1.0)  # type: ignore[attr-defined]
    assert packed[:2].view("<f2")[0] == 1
    assert packed[2] == 0b10_01_00_10
    assert (packed[3:] == 0b01_01_01_01).all()


def test_codes_of_the_sequential_i2_s_lie_four_a_byte() -> None:
    codes = np.zeros((1, 128), np.int8)
    codes[0, :4] = (1, -1, 0, 1)
    packed = get_format("I2_S_SEQ").pack_codes(codes, 0.5)  # type: ignore[attr-defined]
    assert packed[0] == 0b10_01_00_10
    assert packed[32:36].view("<f4")[0] == 0.5


def test_rows_of_iq2_bn_begin_with_their_scale() -> None:
    values = np.zeros((2, 64), np.float32)
    values[0, 16], values[1, 48] = 3, -7
    packed = get_format("IQ2_BN").pack(values).reshape(2, 20)
    np.testing.assert_array_equal(packed[:, :4].copy().view("<f4")[:, 0], [3, 7])
    assert packed[0, 4] == 0b01_01_10_01
    assert packed[1, 4] == 0b00_01_01_01


def test_bytes_of_iq1_bn_are_five_digits_in_base_3() -> None:
    """Decoded as ik_llama.cpp does, byte by byte."""
    codes = np.random.default_rng(2).integers(-1, 2, (1, 64)).astype(np.int8)
    block = get_format("IQ1_BN").pack_codes(codes, 1.0)[2:]  # type: ignore[attr-defined]
    decoded = []
    for sixteen in range(4):
        for byte in block[3 * sixteen : 3 * sixteen + 3]:
            kept = [int(byte) * power & 0xFF for power in (81, 27, 9, 3, 1)]
            decoded += [(v + (v >> 1) >> 7) - 1 for v in kept]
        last = int(block[12]) * (81, 27, 9, 3)[sixteen] & 0xFF
        decoded.append((last + (last >> 1) >> 7) - 1)
    assert decoded == codes[0].tolist()


@pytest.mark.parametrize(("name", "byte"), [("IQ2_BN", 0b10_10_10_10), ("IQ1_BN", 255)])
def test_row_of_zeros_is_packed_by_ik_llama_cpp_as_ones_without_a_scale(name: str, byte: int) -> None:
    """Not below half of the largest, which is 0, and not negative; seen with its own quantizer."""
    weight_format = get_format(name)
    packed = weight_format.pack(np.array([[0.0, -0.0] * 32], dtype=np.float32))
    scale_bytes = packed.size - weight_format.block_bytes  # type: ignore[attr-defined]
    assert not packed[:scale_bytes].any()
    assert packed[scale_bytes] == byte
    assert not weight_format.unpack(packed, 1, 64).any()


@pytest.mark.parametrize("name", ["Q2_0", "Q2_0_G128"])
def test_block_size_of_type_42_is_told_by_its_room(name: str) -> None:
    assert type_name(42, (6, 256), tensor_size(name, (6, 256)), 32) == name
    padded = -(-tensor_size(name, (6, 256)) // 32) * 32
    assert type_name(42, (6, 256), padded, 32) == name


def test_type_42_with_another_room_is_refused() -> None:
    with pytest.raises(BadInput, match="its 100 bytes fit neither Q2_0 in blocks of 64 nor in blocks of 128"):
        type_name(42, (6, 256), 100, 32)


def test_q1_0_keeps_signs_and_the_mean_of_magnitudes() -> None:
    values = np.random.default_rng(3).standard_normal((3, 256)).astype(np.float32)
    unpacked = Q1_0.unpack(Q1_0.pack(values), 3, 256)
    np.testing.assert_array_equal(np.sign(unpacked), np.where(values >= 0, 1, -1))
    means = np.abs(values).reshape(3, 2, 128).mean(axis=2).astype(np.float16)
    np.testing.assert_allclose(np.abs(unpacked).reshape(3, 2, 128)[..., 0], means, rtol=2**-10)
