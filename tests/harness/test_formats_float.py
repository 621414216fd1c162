"""F32, F16, BF16: equal to the gguf package byte for byte, at every kind of value."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from bitparity.errors import ShapeError
from bitparity.formats import get_format

FLOATS = ("F32", "F16", "BF16")
# every sign and exponent, with mantissas on, beside and between the ties of a 7 and a 10 bit mantissa
MANTISSAS = np.array(
    [0, 1, 0xFFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0x18000, 0x7FFFFF], np.uint32
)
EXPONENTS = np.arange(512, dtype=np.uint32) << np.uint32(23)
EVERY_KIND = (EXPONENTS[:, None] | MANTISSAS).view(np.float32)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("name", FLOATS)
def test_pack_equals_the_gguf_package(name: str) -> None:
    expected = gguf.quants.quantize(EVERY_KIND, gguf.GGMLQuantizationType[name])
    actual = get_format(name).pack(EVERY_KIND)
    np.testing.assert_array_equal(actual, expected.view(np.uint8).reshape(-1))


@pytest.mark.parametrize("name", FLOATS)
def test_unpack_gives_the_values_back(name: str) -> None:
    values = np.array([[0.0, -0.0, 1.0, -1.5], [2.0**-14, 65280.0, np.inf, -np.inf]], np.float32)
    weight_format = get_format(name)
    actual = weight_format.unpack(weight_format.pack(values), 2, 4)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual.view(np.uint32), values.view(np.uint32))


def test_bf16_rounds_ties_to_even() -> None:
    below, above = np.float32(1 + 2**-8), np.float32(1 + 3 * 2**-8)  # halfway to 1 + 2^-7, to 1 + 2^-6
    bf16 = get_format("BF16")
    actual = bf16.unpack(bf16.pack(np.array([[below, above]])), 1, 2)
    np.testing.assert_array_equal(actual, np.array([[1, 1 + 2**-6]], np.float32))


def test_bf16_nan_with_low_payload_stays_nan() -> None:
    """Rounding alone would carry 0x7fffffff over into -0, and cut 0x7f800001 down to infinity."""
    nans = np.array([[0x7F800001, 0x7FFFFFFF, 0xFF800001]], np.uint32).view(np.float32)
    bf16 = get_format("BF16")
    assert np.isnan(bf16.unpack(bf16.pack(nans), 1, 3)).all()


@pytest.mark.parametrize("name", FLOATS)
def test_packed_bytes_of_the_wrong_length_are_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=f"{name}: 2 x 3 weights are"):
        get_format(name).unpack(np.zeros(5, np.uint8), 2, 3)


def test_a_vector_is_no_matrix() -> None:
    with pytest.raises(ShapeError, match="matrix"):
        get_format("F16").pack(np.zeros(4, np.float32))
