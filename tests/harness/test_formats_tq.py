"""TQ1_0 and TQ2_0: equal to the gguf package byte for byte, exact for ternary weights."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.tq import TqFormat
from bitparity.formats.tq1_0 import TQ1_0
from bitparity.formats.tq2_0 import TQ2_0

FORMATS = [TQ1_0, TQ2_0]
SHAPES = [(1, 256), (3, 512), (5, 768)]

every_format = pytest.mark.parametrize("weight_format", FORMATS, ids=lambda f: f.name)
every_shape = pytest.mark.parametrize("shape", SHAPES)


def weights(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Normal weights; one block of zeros, one of ties at half of the maximum, one that F16 makes zero."""
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    blocks = values.reshape(-1, 256)
    if len(blocks) > 3:
        blocks[0] = 0
        blocks[1] = np.resize(np.array([1, 0.5, -0.5, -1, 0.49999997, 0], np.float32), 256)
        blocks[2] *= np.float32(1e-9)
    return values


@every_format
@every_shape
def test_pack_equals_the_gguf_package(weight_format: TqFormat, shape: tuple[int, int]) -> None:
    values = weights(shape)
    expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[weight_format.name])
    np.testing.assert_array_equal(weight_format.pack(values), expected.reshape(-1))


@every_format
@every_shape
def test_unpack_equals_the_gguf_package(weight_format: TqFormat, shape: tuple[int, int]) -> None:
    packed = weight_format.pack(weights(shape))
    expected = gguf.quants.dequantize(
        packed.reshape(shape[0], -1), gguf.GGMLQuantizationType[weight_format.name]
    )
    np.testing.assert_array_equal(weight_format.unpack(packed, *shape), expected)


@every_format
@every_shape
def test_codes_and_scale_come_back(weight_format: TqFormat, shape: tuple[int, int]) -> None:
    codes = np.random.default_rng(1).integers(-1, 2, shape).astype(np.int8)
    codes.reshape(-1, 256)[0] = 0  # a block of zeros keeps the scale, too
    packed = weight_format.pack_codes(codes, 0.09375)
    assert packed.size == weight_format.size(*shape)
    actual, scales = weight_format.unpack_codes(packed, *shape)
    np.testing.assert_array_equal(actual, codes)
    np.testing.assert_array_equal(scales, np.full((shape[0], shape[1] // 256), np.float32(0.09375)))


def test_tq1_0_decodes_every_combination_of_digits() -> None:
    """All 243 numbers of five base-3 digits, in every byte of the first run."""
    digits = np.array(np.unravel_index(np.arange(243), [3] * 5)).T.astype(np.int8) - 1
    codes = np.zeros((243, 256), np.int8)
    codes[:, :160] = np.repeat(digits, 32, axis=1)
    actual, _ = TQ1_0.unpack_codes(TQ1_0.pack_codes(codes, 1.0), 243, 256)
    np.testing.assert_array_equal(actual, codes)


@every_format
def test_scale_that_f16_cannot_hold_is_refused_with_the_nearest(weight_format: TqFormat) -> None:
    with pytest.raises(BadInput, match=r"scale 0\.1 is no F16 value .* nearest is 0\.0999755859375"):
        weight_format.pack_codes(np.zeros((1, 256), np.int8), 0.1)


@every_format
@pytest.mark.parametrize("scale", [1e6, float("nan")])
def test_scale_beyond_f16_is_refused(weight_format: TqFormat, scale: float) -> None:
    with pytest.raises(BadInput, match="no F16 value"):
        weight_format.pack_codes(np.zeros((1, 256), np.int8), scale)


@every_format
def test_columns_that_are_no_whole_block_are_refused(weight_format: TqFormat) -> None:
    with pytest.raises(ShapeError, match="384 columns is not a multiple of its block of 256"):
        weight_format.size(2, 384)


@every_format
def test_weights_that_are_not_finite_are_refused(weight_format: TqFormat) -> None:
    values = np.zeros((1, 256), np.float32)
    values[0, 255] = np.nan
    with pytest.raises(BadInput, match="row 0, column 255"):
        weight_format.pack(values)


@every_format
def test_weights_too_small_for_one_over_maximum_become_zeros(weight_format: TqFormat) -> None:
    values = np.full((1, 256), 1e-40, np.float32)
    assert not weight_format.unpack(weight_format.pack(values), 1, 256).any()


def test_tq2_0_code_three_is_refused_with_its_place() -> None:
    packed = TQ2_0.pack_codes(np.zeros((1, 256), np.int8), 1.0)
    packed[32 + 3] |= 0b1100
    with pytest.raises(BadInput, match="row 0, column 163 has the code 3"):
        TQ2_0.unpack_codes(packed, 1, 256)


@every_format
def test_scale_that_f16_does_not_hold_is_refused(weight_format: TqFormat) -> None:
    values = np.zeros((1, 256), dtype=np.float32)
    values[0, 9] = 65519  # rounds to 65504, the largest F16
    assert weight_format.unpack(weight_format.pack(values), 1, 256)[0, 9] == 65504
    values[0, 9] = 65520
    with pytest.raises(BadInput, match=f"{weight_format.name}: a block has the scale 65520, and F16 ends"):
        weight_format.pack(values)


@every_format
@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan])
def test_scale_that_is_no_number_is_refused(weight_format: TqFormat, scale: float) -> None:
    with pytest.raises(BadInput, match="is no F16 value"):
        weight_format.pack_codes(np.zeros((1, 256), dtype=np.int8), scale)
