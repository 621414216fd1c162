"""Formats of real weights in blocks: as near to the weights as their codes allow, and nothing infinite."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import DENSE, FLOATS, get_format
from bitparity.formats.base import Floats
from bitparity.formats.q4_1 import Q4_1
from bitparity.formats.q4_k import Q4_K

BLOCKS = [name for name in DENSE if name not in (*FLOATS, "Q1_0")]
# half a step of a code, as a part of the largest magnitude of its scale's weights
STEPS = {"Q8_0": 127, "Q6_K": 32, "Q5_0": 16, "Q4_0": 8, "Q4_1": 7.5, "Q4_K": 7.5, "Q3_K": 4}
every_format = pytest.mark.parametrize("name", BLOCKS)


def weights(rows: int, cols: int) -> Floats:
    """Normal weights, of another magnitude in each row; one row of zeros."""
    rng = np.random.default_rng(rows)
    values = rng.standard_normal((rows, cols), dtype=np.float32)
    values *= np.exp2(np.arange(rows, dtype=np.float32) - rows)[:, None]
    values[rows // 2] = 0
    return values


@every_format
def test_weights_come_back_within_a_step_of_their_code(name: str) -> None:
    values = weights(7, 1024)
    weight_format = get_format(name)
    packed = weight_format.pack(values)
    assert packed.size == weight_format.size(7, 1024)
    unpacked = weight_format.unpack(packed, 7, 1024)
    largest = np.abs(values).max(axis=1, keepdims=True)
    assert (np.abs(unpacked - values) <= 1.02 * largest / STEPS[name]).all()
    assert not unpacked[7 // 2].any()


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0"])
def test_pack_equals_the_gguf_package(name: str) -> None:
    values = weights(9, 96)
    expected = gguf.quants.quantize(np.delete(values, 4, axis=0), gguf.GGMLQuantizationType[name])
    actual = get_format(name).pack(np.delete(values, 4, axis=0))
    np.testing.assert_array_equal(actual, expected.reshape(-1))


@every_format
def test_weights_that_are_no_numbers_or_have_no_f16_scale_are_refused(name: str) -> None:
    values = np.ones((1, 256), np.float32)
    for wrong in (np.nan, np.inf, 1e30):
        values[0, 3] = wrong
        with pytest.raises(BadInput):
            get_format(name).pack(values)


@every_format
def test_a_row_of_no_whole_blocks_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=f"{name}: 100 columns"):
        get_format(name).pack(np.ones((1, 100), np.float32))


def test_leasts_of_q4_1_are_the_weights_of_code_0() -> None:
    values = weights(3, 64)
    leasts = Q4_1.leasts(Q4_1.pack(values), 3, 64)
    expected = values.reshape(3, 2, 32).min(axis=2).astype(np.float16)
    np.testing.assert_array_equal(leasts, expected)


def test_weights_too_small_for_a_step_have_the_codes_that_ggml_gives_them() -> None:
    """15 / largest is infinite, which ggml's nearest_int makes -2^22, the code 0."""
    packed = Q4_K.pack(np.full((1, 256), 2.0**-149, np.float32))
    assert not packed.any()
