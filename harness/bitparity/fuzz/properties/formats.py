"""Contracts of packing and unpacking."""

from __future__ import annotations

import numpy as np

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Bytes, Floats
from bitparity.fuzz.cases import BytesCase, WeightCase
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.memory import Placement
from bitparity.fuzz.own import DEFINITIONS
from bitparity.fuzz.properties.base import contract, is_another, promises_to_refuse, writes_memory
from bitparity.fuzz.strategies import moderate_weights, packed_bytes, ternary_weights, weights
from bitparity.fuzz.violation import Violation, expect, expect_equal

TERNARY = ("I2_S", "I2_S_ARM", "I2_S_X4", "TL1", "TL2", "TQ1_0", "TQ2_0")
QUANTIZED = (*TERNARY, "Q8_0", "Q8_K", "I8_S", "QK256")
ALL = ("F32", "F16", "BF16", *QUANTIZED)
ACTIVATIONS = ("Q8_K", "I8_S")
HALF_SCALED = ("TQ1_0", "TQ2_0", "Q8_0")  # a scale a block, in F16
WITH_TAIL = ("I2_S", "I2_S_ARM", "I2_S_X4", "TL1", "TL2")
TAIL_UNREAD = 28  # bytes of the tail after the scale, which nobody reads and bitnet.cpp does not write


def _pack(subject: Implementation, name: str, values: Floats) -> Bytes:
    packed: Bytes = subject.run("pack", name, values)
    return packed


def _through(subject: Implementation, name: str, values: Floats) -> Floats:
    rows, cols = values.shape
    unpacked: Floats = subject.run("unpack", name, _pack(subject, name, values), rows, cols)
    return unpacked


@contract("formats", ("pack",), ALL, weights, is_another)
def packs_as_defined(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing finite values gives the bytes of the NumPy definition; what the definition refuses, nobody
    owes."""
    try:
        expected = DEFINITIONS[name].pack(case.values())
    except BadInput:
        return
    actual = _pack(subject, name, case.values())
    read = expected.size - TAIL_UNREAD if name in WITH_TAIL else expected.size
    expect_equal(expected[:read], actual[:read], f"packed {name}")


@contract("formats", ("unpack",), ALL, packed_bytes, is_another)
def unpacks_as_defined(case: BytesCase, name: str, subject: Implementation) -> None:
    """Unpacking any bytes that a packer can write gives the values of the NumPy definition, to the bit."""
    size = DEFINITIONS[name].size(case.rows, case.cols)
    packed = legal_bytes(name, case.packed(size))
    with np.errstate(all="ignore"):
        expected = DEFINITIONS[name].unpack(packed, case.rows, case.cols)
    actual = subject.run("unpack", name, packed, case.rows, case.cols)
    expect_equal(expected, actual, f"unpacked {name}")


@contract("formats", ("unpack",), ALL, packed_bytes)
def unpacks_any_bytes(case: BytesCase, name: str, subject: Implementation) -> None:
    """Unpacking is total: any bytes of the right length give a matrix of the right shape or are refused in
    words."""
    packed = case.packed(DEFINITIONS[name].size(case.rows, case.cols))
    try:
        with np.errstate(all="ignore"):
            actual = subject.run("unpack", name, packed, case.rows, case.cols)
    except BadInput:
        expect(
            legal_bytes(name, packed).tobytes() != packed.tobytes(),
            f"{name} refused legal bytes",
        )
        return
    expect(actual.shape == (case.rows, case.cols), f"unpacked {name}: shape {actual.shape}")


@contract("formats", ("pack", "unpack"), TERNARY, ternary_weights)
def keeps_ternary_weights(case: WeightCase, name: str, subject: Implementation) -> None:
    """Weights that are ternary already, times a scale that the format holds, come back exactly."""
    expect_equal(case.values(), _through(subject, name, case.values()), f"{name} there and back")


@contract("formats", ("pack", "unpack"), (*TERNARY, "F16", "BF16", "Q8_0", "QK256"), weights)
def packing_twice_changes_nothing(case: WeightCase, name: str, subject: Implementation) -> None:
    """What was unpacked packs and unpacks to itself: quantizing is idempotent."""
    try:
        once = _through(subject, name, case.values())
    except BadInput:
        return
    if np.isfinite(once).all():  # F16 and BF16 round the largest floats to infinity
        expect_equal(once, _through(subject, name, once), f"{name} packed twice")


@contract("formats", ("pack", "unpack"), (*TERNARY, *ACTIVATIONS, "F16", "BF16", "Q8_0"), moderate_weights)
def negation_commutes(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing -w gives the negated weights of packing w."""
    values = case.values()
    expect_equal(-_through(subject, name, values), _through(subject, name, -values), f"{name} of -w")


@contract("formats", ("pack", "unpack"), (*TERNARY, *ACTIVATIONS, "F16", "BF16", "Q8_0"), moderate_weights)
def scaling_by_a_power_of_two_commutes(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing 4w gives four times the weights of packing w, away from the ends of F16 and the dead zones."""
    values = case.values()
    four = np.float32(4)
    expect_equal(
        four * _through(subject, name, values), _through(subject, name, four * values), f"{name} of 4w"
    )


@contract("formats", ("pack", "unpack"), QUANTIZED, moderate_weights)
def rows_and_blocks_permute(case: WeightCase, name: str, subject: Implementation) -> None:
    """Permuting rows, and whole blocks of columns, permutes the unpacked weights and changes nothing else."""
    values = case.values()
    rng = np.random.default_rng(case.seed)
    block = DEFINITIONS[name].block
    rows = rng.permutation(case.rows)
    cols = (rng.permutation(case.cols // block)[:, None] * block + np.arange(block)).reshape(-1)
    permuted = np.ascontiguousarray(values[rows][:, cols])
    expect_equal(
        _through(subject, name, values)[rows][:, cols], _through(subject, name, permuted), f"{name} permuted"
    )


@contract("formats", ("pack",), QUANTIZED, weights, promises_to_refuse)
def refuses_what_is_not_finite(case: WeightCase, name: str, subject: Implementation) -> None:
    """A NaN or an infinity among the weights is refused, wherever it stands, and never becomes a code."""
    values = case.values()
    rng = np.random.default_rng(case.seed)
    values[rng.integers(case.rows), rng.integers(case.cols)] = rng.choice([np.nan, np.inf, -np.inf])
    try:
        _pack(subject, name, values)
    except BadInput:
        return
    raise Violation(f"{name} packed a matrix with a weight that is not finite")


@contract("formats", ("pack",), HALF_SCALED, moderate_weights, promises_to_refuse)
def refuses_scales_beyond_f16(case: WeightCase, name: str, subject: Implementation) -> None:
    """A weight whose scale no F16 holds is refused, wherever it stands: infinity makes NaN of zeros."""
    values = case.values()
    rng = np.random.default_rng(case.seed)
    huge = rng.choice([-1, 1]) * 2.0 ** rng.integers(24, 127)
    values[rng.integers(case.rows), rng.integers(case.cols)] = huge
    try:
        _pack(subject, name, values)
    except BadInput:
        return
    raise Violation(f"{name} packed a weight of {np.abs(values).max():g}, whose scale F16 does not hold")


@contract("formats", ("pack",), (*TERNARY, "Q8_0", "Q8_K"), weights, promises_to_refuse)
def refuses_shapes_that_do_not_fit(case: WeightCase, name: str, subject: Implementation) -> None:
    """A matrix one column short of whole blocks or tiles is refused, not truncated."""
    try:
        _pack(subject, name, np.ascontiguousarray(case.values()[:, :-1]))
    except ShapeError:
        return
    raise Violation(f"{name} packed {case.rows} x {case.cols - 1} weights")


@contract("formats", ("pack",), ALL, weights, writes_memory)
def packing_keeps_to_its_memory(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing to any alignment writes every byte of its output, none beside it, and the same ones each
    time."""
    values = case.values()
    try:
        DEFINITIONS[name].pack(values)
    except BadInput:
        return
    first = subject.run("pack", name, values, placement=Placement(offset=0, poison=0x00))
    again = subject.run(
        "pack", name, values, placement=Placement(offset=4 + 8 * (case.seed % 8), poison=0xFF)
    )
    read = first.size - TAIL_UNREAD if name in WITH_TAIL else first.size
    expect_equal(first[:read], again[:read], f"packed {name} in poisoned memory")


@contract("formats", ("unpack",), ALL, packed_bytes, writes_memory)
def unpacking_keeps_to_its_memory(case: BytesCase, name: str, subject: Implementation) -> None:
    """Unpacking at any alignment writes every value of its output, none beside it, and the same ones each
    time."""
    packed = legal_bytes(name, case.packed(DEFINITIONS[name].size(case.rows, case.cols)))
    arguments = (packed, case.rows, case.cols)
    first = subject.run("unpack", name, *arguments, placement=Placement(offset=0, poison=0x00))
    again = subject.run(
        "unpack", name, *arguments, placement=Placement(offset=4 + 8 * (case.seed % 8), poison=0xFF)
    )
    expect_equal(first, again, f"unpacked {name} in poisoned memory")


def legal_bytes(name: str, packed: Bytes) -> Bytes:
    """The same bytes with codes that no packer writes replaced by ones that it does, and finite scales."""
    packed = packed.copy()
    if name in WITH_TAIL:
        scale = packed[-32:-28].view("<f4")
        if not np.isfinite(scale[0]):
            scale[0] = 1
    if name in ("I2_S", "I2_S_ARM", "I2_S_X4"):
        packed[:-32] = _without_code_3(packed[:-32])
    elif name == "TQ2_0":
        blocks = packed.reshape(-1, 66)
        blocks[:, :64] = _without_code_3(blocks[:, :64])
    elif name == "TL1":
        packed[:-32] = _nibbles_up_to(packed[:-32], 8)
    elif name == "TL2":
        packed[:-32] = _nibbles_up_to(packed[:-32], 8)  # triples go to 13, but this is legal in both parts
    if name in ("TQ1_0", "TQ2_0"):
        _finite_half_scales(packed, 54 if name == "TQ1_0" else 66, -2)
    elif name == "Q8_0":
        _finite_half_scales(packed, 34, 0)
    return packed


def with_scales_of_one(name: str, packed: Bytes) -> Bytes:
    """The same codes, every scale 1."""
    packed = packed.copy()
    if name in WITH_TAIL:
        packed[-32:-28].view("<f4")[0] = 1
    elif name in ("TQ1_0", "TQ2_0"):
        blocks = packed.reshape(-1, 54 if name == "TQ1_0" else 66)
        blocks[:, -2:] = np.array([1], dtype="<f2").view(np.uint8)
    return packed


def _without_code_3(packed: Bytes) -> Bytes:
    return packed ^ (packed & (packed >> np.uint8(1)) & np.uint8(0x55))


def _nibbles_up_to(packed: Bytes, last: int) -> Bytes:
    high, low = packed >> np.uint8(4), packed & np.uint8(15)
    return (high % np.uint8(last + 1)) << np.uint8(4) | low % np.uint8(last + 1)


def _finite_half_scales(packed: Bytes, block_bytes: int, where: int) -> None:
    blocks = packed.reshape(-1, block_bytes)
    high = blocks[:, where + 1 if where >= 0 else -1]
    high[(high & 0x7C) == 0x7C] &= np.uint8(0xBF)
