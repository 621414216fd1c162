"""Mutants of our own formats and kernels, and the contract that kills each within the normal budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from bitparity.formats.blocks import BlockFormat
from bitparity.formats.i2_s import I2SFormat
from bitparity.formats.i2_s_arm import I2SArmFormat
from bitparity.formats.i8_s import I8SFormat
from bitparity.formats.rules import sign_of_maximum
from bitparity.formats.tl1 import TL1Format
from bitparity.formats.tq2_0 import TQ20Format
from bitparity.fuzz.addresses import addresses_implementation
from bitparity.fuzz.cases import DEFINITIONS, SMALL_TL1, SMALL_TL2
from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.implementations import Implementation, Operation, without_placement
from bitparity.fuzz.own import numpy_implementation
from bitparity.fuzz.runner import Target, search

EXAMPLES = 100  # the default of `bitparity fuzz`


class WrongShift(TQ20Format):
    """Packs and unpacks with the shifts of I2_S: consistent with itself."""

    def _encode(self, stored: Any) -> Any:
        return _swap_pairs(super()._encode(stored))

    def _decode(self, coded: Any) -> Any:
        return super()._decode(_swap_pairs(coded))


def _swap_pairs(coded: Any) -> Any:
    return sum(((coded >> np.uint8(s)) & np.uint8(3)) << np.uint8(6 - s) for s in (0, 2, 4, 6)).astype(
        np.uint8
    )


class MissingTail(I2SFormat):
    """Leaves the last block zero."""

    def unpack_codes(self, packed: Any, rows: int, cols: int) -> Any:
        codes, scale = super().unpack_codes(packed, rows, cols)
        codes[-1, -128:] = 0
        return codes, scale


class SwappedNibbles(TL1Format):
    """The second pair in the high half."""

    def _encode(self, codes: Any) -> Any:
        data = super()._encode(codes)
        return data << np.uint8(4) | data >> np.uint8(4)


class InvertedScale(I2SArmFormat):
    """Divides by the scale."""

    def unpack(self, packed: Any, rows: int, cols: int) -> Any:
        codes, scale = self.unpack_codes(packed, rows, cols)
        return codes / scale


class HalfToEven(TQ20Format):
    """Rounds 0.5 to 0 where ggml rounds it to 1."""

    def pack(self, values: Any) -> Any:
        blocks = self._finite_matrix(values).reshape(-1, 256)
        scales = np.abs(blocks).max(axis=1, keepdims=True)
        inverse = np.where(scales == 0, np.float32(0), np.float32(1) / scales)
        return self._join((np.rint(blocks * inverse) + 1).astype(np.uint8), scales.astype("<f2"))


class NoDeadZone(I2SFormat):
    """Takes the sign of weights below 1e-6 too."""

    def pack(self, values: Any) -> Any:
        codes, scale = sign_of_maximum(self._finite_matrix(values), np.float64(0))
        return self.pack_codes(codes, scale)


class NaNBecomesZero(I2SFormat):
    """Looks away instead of refusing."""

    def pack(self, values: Any) -> Any:
        return super().pack(np.nan_to_num(values))


class OneScaleForAllTokens(I8SFormat):
    """Quantizes a batch with its largest value, not each token with its own."""

    def pack(self, values: Any) -> Any:
        flat = BlockFormat._matrix(self, values)
        packed = super().pack(flat.reshape(1, -1))
        return np.concatenate(
            [
                packed[: flat.size],
                *[np.repeat(packed[flat.size + i :][:4][None], len(flat), 0).reshape(-1) for i in (0, 4)],
            ]
        )


class TruncatedShape(I2SFormat):
    """Drops the columns after the last whole block, as bitnet.cpp's kernels do."""

    def pack(self, values: Any) -> Any:
        return super().pack(np.ascontiguousarray(values[:, : values.shape[1] // 128 * 128]))


def _formats(name: str, definition: Any) -> Implementation:
    return _renamed(numpy_implementation({name: definition}))


def _multiplying(name: str, multiply: Callable[..., Any]) -> Implementation:
    return Implementation("mutant", {("multiply", name): multiply}, writes_memory=True)


def _renamed(implementation: Implementation) -> Implementation:
    return Implementation("mutant", implementation.functions, refuses=True)


def _exact(name: str, packed: Any, rows: int, cols: int, x: Any) -> Any:
    return numpy_implementation().run("multiply", name, packed, rows, cols, x)


def saturating_add(packed: Any, rows: int, cols: int, x: Any, placement: object = None) -> Any:
    """Sums in int16 that stop at its ends."""
    return np.clip(_exact("I2_S", packed, rows, cols, x), -32768, 32767)


def off_by_one_block(packed: Any, rows: int, cols: int, x: Any, placement: object = None) -> Any:
    """Stops one block early."""
    shorter = x.copy()
    shorter[:, -256:] = 0
    return _exact("TQ2_0", packed, rows, cols, shorter)


def batch_stride_ignored(packed: Any, rows: int, cols: int, x: Any, placement: object = None) -> Any:
    """Every token gets the activations of the first."""
    return _exact("I2_S", packed, rows, cols, np.ascontiguousarray(np.broadcast_to(x[:1], x.shape)))


def last_row_unwritten(packed: Any, rows: int, cols: int, x: Any, placement: Any) -> Any:
    """What lay in the buffer shines through in the last row."""
    sums = _exact("TQ1_0", packed, rows, cols, x)
    sums[:, -1] = placement.poison
    return sums


class SharedScratch:
    """Copies activations into one buffer for all threads."""

    def __init__(self) -> None:
        self.scratch = np.zeros((1, 1), dtype=np.int8)
        self.calls = 0

    def __call__(self, packed: Any, rows: int, cols: int, x: Any, placement: object = None) -> Any:
        self.calls += 1
        mine = self.calls
        sums = _exact("I2_S", packed, rows, cols, x)
        return sums if mine == self.calls else sums + 1


@dataclass(frozen=True)
class Mutant:
    what: str
    weight_format: str
    subject: Callable[[], Implementation]
    killed_by: str


MUTANTS = [
    Mutant("wrong shift", "TQ2_0", lambda: _formats("TQ2_0", WrongShift()), "packs_as_defined"),
    Mutant("missing tail", "I2_S", lambda: _formats("I2_S", MissingTail()), "keeps_ternary_weights"),
    Mutant(
        "swapped nibbles", "TL1", lambda: _formats("TL1", SwappedNibbles(SMALL_TL1)), "keeps_ternary_weights"
    ),
    Mutant(
        "inverted scale", "I2_S_ARM", lambda: _formats("I2_S_ARM", InvertedScale()), "keeps_ternary_weights"
    ),
    Mutant("half to even", "TQ2_0", lambda: _formats("TQ2_0", HalfToEven()), "packs_as_defined"),
    Mutant("no dead zone", "I2_S", lambda: _formats("I2_S", NoDeadZone()), "packs_as_defined"),
    Mutant("NaN becomes 0", "I2_S", lambda: _formats("I2_S", NaNBecomesZero()), "refuses_what_is_not_finite"),
    Mutant(
        "truncated shape",
        "I2_S",
        lambda: _formats("I2_S", TruncatedShape()),
        "refuses_shapes_that_do_not_fit",
    ),
    Mutant(
        "one scale for all tokens",
        "I8_S",
        lambda: _formats("I8_S", OneScaleForAllTokens()),
        "packs_as_defined",
    ),
    Mutant("saturating add", "I2_S", lambda: _multiplying("I2_S", saturating_add), "multiplies_exactly"),
    Mutant(
        "off-by-one block", "TQ2_0", lambda: _multiplying("TQ2_0", off_by_one_block), "multiplies_exactly"
    ),
    Mutant(
        "batch stride ignored",
        "I2_S",
        lambda: _multiplying("I2_S", batch_stride_ignored),
        "tokens_do_not_mix",
    ),
    Mutant(
        "unwritten row",
        "TQ1_0",
        lambda: _multiplying("TQ1_0", last_row_unwritten),
        "multiplying_keeps_to_its_memory",
    ),
    Mutant("shared scratch", "I2_S", lambda: _multiplying("I2_S", SharedScratch()), "threads_do_not_race"),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.what)
def test_mutant_is_killed_within_the_normal_budget(mutant: Mutant) -> None:
    target = Target(CONTRACTS[mutant.killed_by], mutant.weight_format, mutant.subject())
    outcome = search(target, examples=EXAMPLES, seed=0)
    assert outcome.counterexample is not None, f"{mutant.what} survived {mutant.killed_by}"


@pytest.mark.parametrize("name", sorted({m.weight_format for m in MUTANTS}))
def test_definition_survives_what_kills_its_mutants(name: str) -> None:
    subject = Implementation("same", numpy_implementation().functions, refuses=True)
    for killer in {m.killed_by for m in MUTANTS if m.weight_format == name and m.killed_by in CONTRACTS}:
        if all(subject.has(operation, name) for operation in CONTRACTS[killer].operations):
            assert (
                search(Target(CONTRACTS[killer], name, subject), examples=30, seed=0).counterexample is None
            )
    assert name in DEFINITIONS


NATIVE_MUTANTS = {
    "a sum too few": ("matmul_i2_s", "I2_S", "multiplies_exactly"),
    "past the end": ("matmul_i2_s", "I2_S", "multiplying_keeps_to_its_memory"),
    "codes rounded down": ("quantize_i8", "I8_S", "packs_as_defined"),
    "block sums of the first block": ("quantize_q8_k", "Q8_K", "packs_as_defined"),
}


class _MutantKernels:
    """The native kernels with one of them wrapped."""

    def __init__(self, kernels: Any, name: str, wrapper: Callable[..., Any]) -> None:
        self._kernels, self._name, self._wrapper = kernels, name, wrapper

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._kernels, name)
        return (lambda *args: self._wrapper(kernel, *args)) if name == self._name else kernel


def _a_sum_too_few(
    kernel: Any, kernel_set: str, packed: Any, scale: float, x: Any, scales: Any, sums: Any, out: Any
) -> None:
    shorter = x.copy()
    shorter[:, -1] = 0
    kernel(kernel_set, packed, scale, shorter, scales, sums, out)


def _past_the_end(kernel: Any, *args: Any) -> None:
    kernel(*args)
    import ctypes

    ctypes.memset(args[-1].ctypes.data + args[-1].nbytes, 0, 1)


def _codes_rounded_down(kernel: Any, kernel_set: str, x: Any, codes: Any) -> Any:
    scale, _ = kernel(kernel_set, x, codes)
    codes[:] = np.floor(x * np.float32(scale))
    return scale, int(codes.sum(dtype=np.int32))


def _block_sums_of_the_first_block(
    kernel: Any, kernel_set: str, x: Any, codes: Any, scales: Any, sums: Any
) -> None:
    kernel(kernel_set, x, codes, scales, sums)
    sums.reshape(-1, 16)[:] = sums[:16]


_WRAPPERS = {
    "a sum too few": _a_sum_too_few,
    "past the end": _past_the_end,
    "codes rounded down": _codes_rounded_down,
    "block sums of the first block": _block_sums_of_the_first_block,
}


@pytest.mark.parametrize("what", NATIVE_MUTANTS)
def test_native_mutant_is_killed_within_the_normal_budget(what: str) -> None:
    native = pytest.importorskip("bitparity_native.implementations", reason="the native core is not built")
    from bitparity_native import _core

    kernel, name, killer = NATIVE_MUTANTS[what]
    mutant = native.implementation(_MutantKernels(_core.kernels, kernel, _WRAPPERS[what]), "portable")
    outcome = search(Target(CONTRACTS[killer], name, mutant), examples=EXAMPLES, seed=0)
    assert outcome.counterexample is not None, f"{what} survived {killer}"


def _nibbles_swapped(pack: Callable[..., Any], values: Any) -> Any:
    """The first pair in the low half."""
    packed = pack(values)
    packed[:-32] = packed[:-32] << np.uint8(4) | packed[:-32] >> np.uint8(4)
    return packed


def _steps_in_row_order(pack: Callable[..., Any], values: Any) -> Any:
    """Rows 8-15 and 16-23 of a step stay where they are, as one would think."""
    rows = np.arange(len(values)).reshape(-1, 4, 8)[:, [0, 2, 1, 3]].reshape(-1)
    packed, plain = pack(values), pack(np.ascontiguousarray(values[rows]))
    indices = _columns_in_tiles(values) * len(values) // 6
    packed[:indices] = plain[:indices]
    return packed


def _columns_in_tiles(values: Any) -> int:
    rows, cols = values.shape
    return int(cols - cols % SMALL_TL2[rows, cols].cols)


def _magnitudes_without_signs(unpack: Callable[..., Any], packed: Any, rows: int, cols: int) -> Any:
    """Reads indices and forgets the plane of signs."""
    begin = _columns_in_tiles(np.empty((rows, cols))) * rows // 6
    signless = packed.copy()
    signless[begin : begin + begin // 4] = 0
    return unpack(signless, rows, cols)


def _columns_of_tiles_only(multiply: Callable[..., Any], packed: Any, rows: int, cols: int, x: Any) -> Any:
    """Leaves out the columns that are packed in pairs."""
    shorter = x.copy()
    shorter[:, _columns_in_tiles(np.empty((rows, cols))) :] = 0
    return multiply(packed, rows, cols, shorter)


def _x86_layout(pack: Callable[..., Any], values: Any) -> Any:
    """Blocks of 128 weights where they fit, as a build for x86 writes."""
    return DEFINITIONS["I2_S"].pack(values) if values.shape[1] % 128 == 0 else pack(values)


def _codes_counted_from_zero(multiply: Callable[..., Any], packed: Any, rows: int, cols: int, x: Any) -> Any:
    """Sums of the stored 0, 1, 2: forgets to take the sum of activations away."""
    return multiply(packed, rows, cols, x) + x.sum(axis=1, dtype=np.int64)[:, None]


LAYOUT_MUTANTS: dict[str, tuple[Operation, Callable[..., Any], str, str]] = {
    "TL1 nibbles swapped": ("pack", _nibbles_swapped, "TL1", "packs_as_defined"),
    "TL2 steps in row order": ("pack", _steps_in_row_order, "TL2", "packs_as_defined"),
    "TL2 signs forgotten": ("unpack", _magnitudes_without_signs, "TL2", "keeps_ternary_weights"),
    "TL2 pairs left out": ("multiply", _columns_of_tiles_only, "TL2", "multiplies_exactly"),
    "ARM in the layout of x86": ("pack", _x86_layout, "I2_S_ARM", "packs_as_defined"),
    "four rows counted from zero": ("multiply", _codes_counted_from_zero, "I2_S_X4", "multiplies_exactly"),
}


@pytest.mark.parametrize("what", LAYOUT_MUTANTS)
def test_mutant_of_a_layout_is_killed_within_the_normal_budget(what: str) -> None:
    operation, wrapper, name, killer = LAYOUT_MUTANTS[what]
    sound = numpy_implementation() if operation == "multiply" else addresses_implementation()
    functions = dict(sound.functions)
    functions[operation, name] = without_placement(partial(wrapper, sound.functions[operation, name]))
    mutant = Target(CONTRACTS[killer], name, Implementation("mutant", functions))
    outcome = search(mutant, examples=EXAMPLES, seed=0)
    assert outcome.counterexample is not None, f"{what} survived {killer}"
    assert "values differ" in outcome.counterexample.message  # and not an accident of the mutant's own
    assert search(Target(CONTRACTS[killer], name, sound), examples=EXAMPLES, seed=0).counterexample is None
