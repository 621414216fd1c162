"""The further layouts: where each weight lies, what is refused, and the real shapes of the table-lookup
kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import FORMATS, I2_S_LAYOUTS, format_of_type, get_format, with_tilings
from bitparity.formats.i2_s_arm import I2_S_ARM
from bitparity.formats.i2_s_x4 import I2_S_X4
from bitparity.formats.i8_s import I8_S
from bitparity.formats.q8_0 import Q8_0
from bitparity.formats.q8_k import BLOCK, Q8_K
from bitparity.formats.qk256 import QK256
from bitparity.formats.rules import absolute_mean, first_non_zero, half_of_maximum, sign_of_maximum
from bitparity.formats.table_lookup import TL1_TILINGS, TL2_TILINGS, Tiling
from bitparity.formats.tl1 import TL1
from bitparity.formats.tl2 import TL2
from bitparity.fuzz.addresses import addresses_implementation

PRESETS = [
    (name, shape)
    for name, tilings in (("TL1", TL1_TILINGS), ("TL2", TL2_TILINGS))
    for shape in tilings
    if shape[0] * shape[1] <= 7_000_000  # larger ones take seconds each
]


def _single(rows: int, cols: int, row: int, col: int, value: int = 1) -> np.ndarray:
    codes = np.zeros((rows, cols), dtype=np.int8)
    codes[row, col] = value
    return codes


def _changed(packed: np.ndarray, zeros: np.ndarray) -> list[tuple[int, int]]:
    """(byte, xor) of every byte that is not that of all zeros."""
    different = packed ^ zeros
    return [(int(i), int(different[i])) for i in np.flatnonzero(different)]


@pytest.mark.parametrize(
    ("col", "byte", "shift"), [(0, 0, 6), (15, 15, 6), (16, 0, 4), (47, 15, 2), (63, 15, 0), (64, 16, 6)]
)
def test_i2_s_arm_puts_weights_16_apart_into_one_byte(col: int, byte: int, shift: int) -> None:
    zeros = I2_S_ARM.pack_codes(np.zeros((1, 128), dtype=np.int8), 1.0)
    packed = I2_S_ARM.pack_codes(_single(1, 128, 0, col), 1.0)
    assert _changed(packed, zeros) == [(byte, (1 ^ 2) << shift)]  # code 1 (zero) becomes 2


@pytest.mark.parametrize(
    ("row", "col", "byte", "shift"), [(0, 5, 5, 6), (1, 5, 5, 4), (3, 127, 127, 0), (4, 0, 128, 6)]
)
def test_i2_s_x4_puts_four_rows_into_one_byte(row: int, col: int, byte: int, shift: int) -> None:
    zeros = I2_S_X4.pack_codes(np.zeros((8, 128), dtype=np.int8), 1.0)
    packed = I2_S_X4.pack_codes(_single(8, 128, row, col), 1.0)
    assert _changed(packed, zeros) == [(byte, (1 ^ 2) << shift)]


@pytest.mark.parametrize("name", [*I2_S_LAYOUTS, "TQ2_0"])
def test_code_3_is_refused(name: str) -> None:
    packed = np.full(get_format(name).size(4, 256), 0xFF, dtype=np.uint8)
    with pytest.raises(BadInput, match=f"{name}: .* has the code 3, which no packer writes"):
        get_format(name).unpack(packed, 4, 256)


def test_layouts_of_i2_s_have_one_size_and_different_bytes() -> None:
    codes = np.random.default_rng(0).integers(-1, 2, (4, 256)).astype(np.int8)
    packed = [get_format(name).pack_codes(codes, 0.5) for name in I2_S_LAYOUTS]  # type: ignore[attr-defined]
    assert len({p.size for p in packed}) == 1
    assert len({p.tobytes() for p in packed}) == len(I2_S_LAYOUTS)


@pytest.mark.parametrize("name", I2_S_LAYOUTS)
@pytest.mark.parametrize("scale", [np.inf, np.nan, 1e39])
def test_scale_that_is_no_number_is_refused(name: str, scale: float) -> None:
    with pytest.raises(BadInput, match="is no finite float32"):
        get_format(name).pack_codes(np.zeros((4, 128), dtype=np.int8), scale)  # type: ignore[attr-defined]


def test_type_36_is_i2_s_and_other_readings_are_asked_for_by_name() -> None:
    found = format_of_type(36)
    assert found is not None
    assert found.name == "I2_S"
    assert I2_S_LAYOUTS == ("I2_S", "I2_S_ARM", "I2_S_SEQ", "I2_S_X4")
    assert all(FORMATS[name].ggml_type == 36 for name in (*I2_S_LAYOUTS, "QK256"))


@pytest.mark.parametrize("byte", [0b00011011, 0b11100100])
def test_qk256_reads_four_levels_lowest_bits_first(byte: int) -> None:
    values = QK256.unpack(np.full(64, byte, dtype=np.uint8), 1, 256)
    levels = [-2.0, -1.0, 1.0, 2.0]
    assert values[0, :4].tolist() == [levels[(byte >> s) & 3] for s in (0, 2, 4, 6)]


def test_qk256_does_not_give_back_what_i2_s_packed() -> None:
    codes = np.random.default_rng(0).integers(-1, 2, (2, 256)).astype(np.float32)
    read = QK256.unpack(FORMATS["I2_S"].pack(codes)[:-32], 2, 256)
    assert not np.array_equal(read, codes)


def test_qk256_pads_rows_to_whole_blocks() -> None:
    assert QK256.size(3, 300) == 3 * 2 * 64
    values = np.where(np.arange(600).reshape(2, 300) % 2, 2, -1).astype(np.float32)
    assert np.array_equal(QK256.unpack(QK256.pack(values), 2, 300), values)


@pytest.mark.parametrize(("name", "shape"), PRESETS, ids=str)
def test_table_lookup_format_of_a_preset_shape_lies_where_the_formulas_say(
    name: str, shape: tuple[int, int]
) -> None:
    codes = np.random.default_rng(0).integers(-1, 2, shape, dtype=np.int8)
    values = codes * np.float32(0.5)
    packed = FORMATS[name].pack(values)
    addresses = addresses_implementation()
    assert np.array_equal(packed, addresses.run("pack", name, values))
    assert np.array_equal(values, addresses.run("unpack", name, packed, *shape))
    assert np.array_equal(values, FORMATS[name].unpack(packed, *shape))


@pytest.mark.parametrize("name", ["TL1", "TL2"])
def test_table_lookup_refuses_a_shape_without_a_kernel(name: str) -> None:
    with pytest.raises(
        ShapeError, match=f"{name}: no kernel is generated for a weight of 256 x 256; there are"
    ):
        FORMATS[name].pack(np.zeros((256, 256), dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "shape", "tiling"),
    [
        ("TL1", (100, 128), (32, 64, 32)),
        ("TL1", (64, 96), (32, 64, 32)),
        ("TL1", (48, 64), (48, 64, 48)),
        ("TL1", (96, 64), (48, 64, 32)),
        ("TL1", (128, 64), (128, 64, 128)),
        ("TL1", (64, 64), (64, 64, 8)),
        ("TL2", (32, 288), (32, 96, 64)),
        ("TL2", (32, 300), (32, 100, 32)),
        ("TL2", (32, 192), (32, 96, 32)),  # fewer columns than ggml_nbytes counts as pairs
        ("TL2", (32, 960), (32, 672, 32)),  # more left over than it counts
        ("TL2", (32, 592), (32, 576, 32)),
    ],
)
def test_table_lookup_refuses_tiles_that_do_not_divide(
    name: str, shape: tuple[int, int], tiling: tuple[int, int, int]
) -> None:
    weight_format = with_tilings(name, {shape: Tiling(*tiling)})
    with pytest.raises(ShapeError, match=name):
        weight_format.pack(np.zeros(shape, dtype=np.float32))
    with pytest.raises(ShapeError, match=name):
        weight_format.size(*shape)


def test_table_lookup_refuses_indices_that_no_packer_writes() -> None:
    rows, cols = 1024, 4096
    for weight_format, size in ((TL1, TL1.size(rows, cols)), (TL2, TL2.size(rows, cols))):
        with pytest.raises(BadInput, match="index"):
            weight_format.unpack(np.full(size, 0xFF, dtype=np.uint8), rows, cols)


def test_q8_0_refuses_a_scale_beyond_f16() -> None:
    with pytest.raises(BadInput, match="F16 ends at 65504"):
        Q8_0.pack(np.full((1, 32), 1e7, dtype=np.float32))


def test_q8_k_gives_the_largest_value_the_code_minus_127() -> None:
    values = np.zeros((1, 256), dtype=np.float32)
    values[0, [3, 7]] = [2.0, -2.0]
    block = Q8_K.pack(values).view(BLOCK)[0]
    assert (block["codes"][3], block["codes"][7]) == (-127, 127)
    assert block["sums"].sum() == 0


def test_i8_s_keeps_a_scale_and_a_sum_for_each_token() -> None:
    values = np.array([[1, -0.5, 0, 0.25], [4, 4, 4, 4]], dtype=np.float32)
    packed = I8_S.pack(values)
    assert packed[:8].view(np.int8).tolist() == [127, -64, 0, 32, 127, 127, 127, 127]
    assert packed[8:16].view(np.float32).tolist() == [127.0, 31.75]
    assert packed[16:].view(np.int32).tolist() == [95, 508]


RULES = (sign_of_maximum, half_of_maximum, absolute_mean, first_non_zero)


@pytest.mark.parametrize("rule", RULES)
def test_rule_keeps_the_codes_of_ternary_weights(rule: Callable[..., tuple[np.ndarray, float]]) -> None:
    codes = np.random.default_rng(1).integers(-1, 2, (4, 64)).astype(np.float32)
    found, scale = rule(codes * np.float32(0.3))
    assert np.array_equal(found * np.sign(scale), codes)


@pytest.mark.parametrize("rule", RULES)
def test_rule_gives_zeros_for_zeros(rule: Callable[..., tuple[np.ndarray, float]]) -> None:
    assert not rule(np.zeros((2, 8), dtype=np.float32))[0].any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rule_refuses_what_is_not_finite(rule: Callable[..., tuple[np.ndarray, float]], bad: float) -> None:
    with pytest.raises(BadInput, match=r"weight \(0, 1\) is"):
        rule(np.array([[1, bad]], dtype=np.float32))


def test_rules_differ_on_real_weights() -> None:
    values = np.array([[1.0, 0.4, -0.1, 1e-7]], dtype=np.float32)
    assert sign_of_maximum(values)[0].tolist() == [[1, 1, -1, 0]]
    assert half_of_maximum(values)[0].tolist() == [[1, 0, 0, 0]]
    assert absolute_mean(values)[0].tolist() == [[1, 1, 0, 0]]
    with pytest.raises(BadInput, match="not ternary"):
        first_non_zero(values[:, ::-1])
