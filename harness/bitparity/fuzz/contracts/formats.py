"""Contracts of packing and unpacking."""

from __future__ import annotations

import numpy as np

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import ACTIVATIONS, DENSE, FLOATS, TERNARY
from bitparity.formats.base import Bytes, Floats
from bitparity.fuzz.cases import DEFINITIONS, BytesCase, WeightCase
from bitparity.fuzz.contracts.base import contract, is_another, promises_to_refuse, writes_memory
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.memory import Placement
from bitparity.fuzz.strategies import (
    moderate_weights,
    packed_bytes,
    scalable_weights,
    ternary_weights,
    weights,
)
from bitparity.fuzz.violation import Violation, expect, expect_equal

ALL = tuple(DEFINITIONS)
QUANTIZED = tuple(name for name in ALL if name not in FLOATS)
# Whose codes are not as many above zero as below, or whose scale is searched for: -w, or what was packed
# before, is packed otherwise.
ONE_SIDED = tuple(name for name in DENSE if name not in (*FLOATS, "Q8_0"))
WEIGHTS = tuple(name for name in ALL if name not in (*ACTIVATIONS, *ONE_SIDED))
SCALED = tuple(name for name in ALL if name in FLOATS or DEFINITIONS[name].scale_format)
SYMMETRIC = tuple(name for name in SCALED if name not in ONE_SIDED)
HALF_SCALED = tuple(name for name in ALL if DEFINITIONS[name].scale_format == "F16")
IN_BLOCKS = tuple(name for name in ALL if DEFINITIONS[name].block > 1)


def _pack(subject: Implementation, name: str, values: Floats) -> Bytes:
    packed: Bytes = subject.run("pack", name, values)
    return packed


def _through(subject: Implementation, name: str, values: Floats) -> Floats:
    rows, cols = values.shape
    unpacked: Floats = subject.run("unpack", name, _pack(subject, name, values), rows, cols)
    return unpacked


@contract("formats", ("pack",), ALL, weights, is_another)
def packs_as_defined(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing finite values gives the bytes of the NumPy definition, where that does not refuse them."""
    try:
        expected = DEFINITIONS[name].pack(case.values())
    except BadInput:
        return
    actual = _pack(subject, name, case.values())
    read = _bytes_read(name, expected.size)
    expect_equal(expected[:read], actual[:read], f"packed {name}")


@contract("formats", ("unpack",), ALL, packed_bytes, is_another)
def unpacks_as_defined(case: BytesCase, name: str, subject: Implementation) -> None:
    """Unpacking any bytes that a packer can write gives the values of the NumPy definition, to the bit."""
    packed = legal_bytes(name, case)
    with np.errstate(all="ignore"):
        expected = DEFINITIONS[name].unpack(packed, case.rows, case.cols)
    actual = subject.run("unpack", name, packed, case.rows, case.cols)
    expect_equal(expected, actual, f"unpacked {name}")


@contract("formats", ("unpack",), ALL, packed_bytes)
def unpacks_any_bytes(case: BytesCase, name: str, subject: Implementation) -> None:
    """Unpacking is total: any bytes of the right length give a matrix of the right shape or are refused in
    words."""
    packed = any_bytes(name, case)
    try:
        with np.errstate(all="ignore"):
            actual = subject.run("unpack", name, packed, case.rows, case.cols)
    except BadInput:
        expect(
            legal_bytes(name, case).tobytes() != packed.tobytes(),
            f"{name} refused legal bytes",
        )
        return
    expect(actual.shape == (case.rows, case.cols), f"unpacked {name}: shape {actual.shape}")


@contract("formats", ("pack", "unpack"), TERNARY, ternary_weights)
def keeps_ternary_weights(case: WeightCase, name: str, subject: Implementation) -> None:
    """Weights that are ternary already, times a scale that the format holds, come back exactly."""
    expect_equal(case.values(), _through(subject, name, case.values()), f"{name} there and back")


@contract("formats", ("pack", "unpack"), WEIGHTS, weights)
def packing_twice_changes_nothing(case: WeightCase, name: str, subject: Implementation) -> None:
    """What was unpacked packs and unpacks to itself: quantizing is idempotent."""
    try:
        once = _through(subject, name, case.values())
    except BadInput:
        return
    if np.isfinite(once).all():  # F16 and BF16 round the largest floats to infinity
        expect_equal(once, _through(subject, name, once), f"{name} packed twice")


@contract("formats", ("pack", "unpack"), SYMMETRIC, moderate_weights)
def negation_commutes(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing -w gives the negated weights of packing w."""
    values = case.values()
    expect_equal(-_through(subject, name, values), _through(subject, name, -values), f"{name} of -w")


@contract("formats", ("pack", "unpack"), SCALED, scalable_weights)
def scaling_by_a_power_of_two_commutes(case: WeightCase, name: str, subject: Implementation) -> None:
    """Packing 4w gives four times the weights of packing w, away from the dead zones and where no scale is
    so small or large that F16 keeps fewer bits of it."""
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
    lowest = (2**16 * DEFINITIONS[name].reach - 1).bit_length()  # of a scale of 65536 or more
    huge = rng.choice([-1, 1]) * 2.0 ** rng.integers(lowest, 127)
    values[rng.integers(case.rows), rng.integers(case.cols)] = huge
    try:
        _pack(subject, name, values)
    except BadInput:
        return
    raise Violation(f"{name} packed a weight of {np.abs(values).max():g}, whose scale F16 does not hold")


@contract("formats", ("pack",), IN_BLOCKS, weights, promises_to_refuse)
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
    read = _bytes_read(name, first.size)
    expect_equal(first[:read], again[:read], f"packed {name} in poisoned memory")


@contract("formats", ("unpack",), ALL, packed_bytes, writes_memory)
def unpacking_keeps_to_its_memory(case: BytesCase, name: str, subject: Implementation) -> None:
    """Unpacking at any alignment writes every value of its output, none beside it, and the same ones each
    time."""
    packed = legal_bytes(name, case)
    arguments = (packed, case.rows, case.cols)
    first = subject.run("unpack", name, *arguments, placement=Placement(offset=0, poison=0x00))
    again = subject.run(
        "unpack", name, *arguments, placement=Placement(offset=4 + 8 * (case.seed % 8), poison=0xFF)
    )
    expect_equal(first, again, f"unpacked {name} in poisoned memory")


def any_bytes(name: str, case: BytesCase) -> Bytes:
    return case.packed(DEFINITIONS[name].size(case.rows, case.cols))


def legal_bytes(name: str, case: BytesCase) -> Bytes:
    """The bytes of a case with codes that no packer writes replaced by others, and finite scales."""
    packed = DEFINITIONS[name].with_legal_codes(any_bytes(name, case), case.rows, case.cols).copy()
    scales = DEFINITIONS[name].scales_in(packed, case.rows, case.cols)
    scales[~np.isfinite(scales)] = 1
    return packed


def _bytes_read(name: str, size: int) -> int:
    """Bytes of a packed matrix that mean something: not the end of its tail, which packers fill freely."""
    return size - DEFINITIONS[name].tail_bytes + DEFINITIONS[name].tail_read
