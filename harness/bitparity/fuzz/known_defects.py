"""Known defects of implementations that are not ours, each with its smallest reproduction.

Every run reproduces each of them once, in the build of the implementation that is at hand, and reports it as
*known*.  One that no longer reproduces in a build that should have it is an error, and so is one that does in
a build that should not, so that this list tells the truth.  The search leaves out the cases that a defect of
this build covers, and only those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Codes
from bitparity.formats.i2_s import I2_S
from bitparity.fuzz.cases import BytesCase, ProductCase, WeightCase
from bitparity.fuzz.implementations import Implementation


@dataclass(frozen=True)
class Builds:
    """The builds of an implementation that have a defect: in words, and as a question to the build itself."""

    words: str
    include: Callable[[Implementation], bool]


EVERY_BUILD = Builds("every build", lambda build: True)


@dataclass(frozen=True)
class KnownDefect:
    """case       smallest reproduction
    explanation   what goes wrong and why
    trained       whether it can happen with a trained model, and how that is known
    covers        which cases it explains; the search leaves these out
    builds        where it is to be found
    """

    implementation: str
    contract: str
    weight_format: str
    case: Any
    explanation: str
    trained: str
    covers: Callable[[Any], bool]
    builds: Builds = EVERY_BUILD


FLOAT_MAX = float(np.finfo(np.float32).max)


def _has_tiny_block(width: int, largest_code: int) -> Callable[[WeightCase], bool]:
    """Some block's largest magnitude m is above 0 and so small that largest_code / m overflows float32."""

    def covers(case: WeightCase) -> bool:
        largest = np.abs(case.values()).reshape(-1, width).max(axis=1).astype(np.float64)
        return bool(((largest > 0) & (largest <= largest_code / FLOAT_MAX * (1 + 2**-20))).any())

    return covers


def _has_tiny_range(case: WeightCase) -> bool:
    """In some block of 32, largest - least is above 0 and so small that 15 over it overflows float32."""
    ranges = np.ptp(case.values().reshape(-1, 32).astype(np.float64), axis=1)
    return bool(((ranges > 0) & (ranges <= 15 / FLOAT_MAX * (1 + 2**-20))).any())


def _has_zeros_that_begin_below(case: WeightCase) -> bool:
    """Some block of 32 has zeros only, and the first of them is -0."""
    blocks = case.values().reshape(-1, 32)
    return bool((~blocks.any(axis=1) & np.signbit(blocks[:, 0])).any())


def _has_least_zeros_of_both_signs(case: WeightCase) -> bool:
    """Some block of 32 has no weight below 0, and zeros of both signs."""
    blocks = case.values().reshape(-1, 32)
    is_minus, is_plus = ((blocks == 0) & (np.signbit(blocks) == sign) for sign in (True, False))
    return bool(((blocks >= 0).all(axis=1) & is_minus.any(axis=1) & is_plus.any(axis=1)).any())


def _has_zero_block(case: WeightCase) -> bool:
    return bool((case.values().reshape(-1, 256) == 0).all(axis=1).any())


def _has_code_3(case: BytesCase) -> bool:
    """Whether the bytes hold a code 3; cases of even seeds have it replaced."""
    codes = case.packed(I2_S.size(case.rows, case.cols))[: -I2_S.tail_bytes]
    return case.seed % 2 == 1 and bool((codes & (codes >> np.uint8(1)) & np.uint8(0x55)).any())


def _overflows_a_lane(case: ProductCase) -> bool:
    """An exact model of the kernel: 16 lanes sum columns 2l and 2l + 1 (mod 32) over 32 blocks of 128, in
    int16."""
    return lane_load(case.codes(), case.x()) > 1


def lane_load(codes: Codes, x: NDArray[np.int8]) -> float:
    """Largest lane sum of bitnet.cpp's AVX2 I2_S kernels as a part of what int16 holds; above 1 it wraps.

    codes (rows, cols) in -1..1, x (tokens, cols)
    """
    groups = range(0, codes.shape[1], 4096)
    loads = [_lane_sums(codes[:, g : g + 4096] + 1, x[:, g : g + 4096]) for g in groups]
    return max(max(float(s.max()) / 32767, float(s.min()) / -32768) for s in loads)


def _lane_sums(stored: Codes, x: NDArray[np.int8]) -> NDArray[np.int64]:
    """(tokens, rows, 16) sums of one group."""
    weights = stored.astype(np.int64).reshape(len(stored), -1, 16, 2)
    activations = x.astype(np.int64).reshape(len(x), -1, 16, 2)
    sums: NDArray[np.int64] = np.einsum("tblp,rblp->trl", activations, weights)
    return sums


_OVERFLOW = (
    "The AVX2 kernels sum 32 blocks of 128 columns in int16 before they widen.  A lane collects 8 products "
    "of a code 0..2 and an int8 from each block, so from 17 blocks (2,176 columns) on it can pass 32,767."
)
_OVERFLOW_TRAINED = (
    "Not seen: on 38 positions of text the fullest lane of the bundled models holds 4.6 % of int16 at 256 "
    "columns and 2.9 % at 768; below 2,176 columns no input can fill it.  In proportion to the columns that "
    "is 73 % where the kernel widens (4,096 columns); by the square root, as sums of both signs grow, 18 %.  "
    "Wider models (2B-4T has 6,912 columns in ffn_down) can, in principle; lane_load() measures it."
)
_TINY = (
    "The scale 127 / max overflows to infinity when a block's largest magnitude is below 3.7e-37.  As an "
    "integer, infinity and infinity x 0, which is NaN, are what the compiler makes of them: Clang packs with "
    "saturation for SSE and AVX2, which gives -128, and cuts off the upper bytes for AVX-512, as GCC always "
    "does, which gives 0; ARM converts infinity to -1.  The scale is stored as 0, so the values are 0 "
    "whatever the codes."
)
_TINY_TRAINED = "No: values of trained models are 30 orders of magnitude larger, or exactly 0."
_TINY_NIBBLES = (
    "The inverse of the scale, -8 / max in Q4_0 and 15 / range in Q4_1, overflows to infinity for the "
    "smallest blocks, and quantize_row_q4_0_ref and quantize_row_q4_1_ref make an int8 of it as for Q8_0: "
    "Clang's -128 sets a bit that no code has.  The scale is stored as 0, so the values do not depend on the "
    "codes."
)
_TINY_TERNARY = (
    "The scale 1 / max overflows to infinity when a block's largest magnitude is below 2.9e-39.  "
    "quantize_row_q2_0_ref turns infinity, and infinity x 0, which is NaN, into an int, for which C has no "
    "value: on x86 it is the smallest one, so every code is -1, zeros included; TQ2_0 takes a long and gets "
    "0.  The scale is stored as 0, so the values are 0 whatever the codes."
)
_ZERO_SIGN = (
    "gguf.quants takes the first of 32 zeros for the value of largest magnitude, with its sign, and divides "
    "it by -8 or -16; ggml (quantize_row_q4_0_ref, quantize_row_q5_0_ref) begins with +0, which no zero "
    "exceeds, so its scale is -0 whatever the signs.  Codes and values are the same."
)
_LEAST_SIGN = (
    "gguf.quants takes the least and the largest weight by numpy's min and max, which give a zero of either "
    "sign where there are both; ggml (quantize_row_q4_1_ref) takes the first.  The stored least, and the "
    "scale of a block of zeros, differ in their sign; codes and values are the same."
)
_ZERO_SIGN_TRAINED = "Yes, wherever 32 weights in a row are 0; harmless: the values are equal."
_LEAST_SIGN_TRAINED = (
    "Yes, wherever zeros of both signs are the least of 32 weights; harmless: the values are equal."
)
_SUMS = "A block of zeros gets a scale and codes; its 16 sums keep whatever lay in the buffer before."
_SUMS_TRAINED = (
    "Yes, wherever 256 activations in a row are 0; harmless: every use multiplies the sums by the scale 0."
)

_CODE_3 = "A code 3 unpacks to 0 (dequantize_row_i2_s) and counts as +2 in the matmul kernels."
_CODE_3_TRAINED = "No: no packer writes it; a damaged file, or one of another format read as I2_S, has it."

_NAN_ACTIVATION = (
    "quantize_row_i8_s gives a NaN the code 0 and forgets the maximum found before it, so the scale is too "
    "large and other codes are clamped; an infinity makes every code 0.  The results are finite and wrong."
)
_NAN_WEIGHT = (
    "The quantizer takes a NaN for a weight: -1 in I2_S, 0 in TQ1_0 and TQ2_0; an infinity becomes the scale."
)
_NAN_TRAINED = (
    "Only after an overflow elsewhere, for instance of squared ReLU, which is then hidden.  Never in a sound "
    "checkpoint."
)


_HALF_SCALE = (
    "A scale of 65520 or more is stored as the F16 infinity; every zero of the block then unpacks to NaN."
)
_HALF_SCALE_TRAINED = (
    "No: no checkpoint has weights of that size, though a converter's mistake could make them."
)


def _always(case: WeightCase) -> bool:
    return True


def _is_clang(build: Implementation) -> bool:
    return "clang" in build.compiler


_WITH_AVX2 = Builds("builds for AVX2", lambda build: "avx2" in build.isa)
_TINY_BUILDS = {
    "bitnet.cpp": Builds(
        "builds by Clang without AVX-512, and for ARM",
        lambda build: (_is_clang(build) and "avx512" not in build.isa) or "neon" in build.isa,
    ),
    # libggml-base, where its quantizers are, is built for the plain x86-64 whatever the CPU.
    "llama.cpp": Builds(
        "builds by Clang, and for ARM", lambda build: _is_clang(build) or "neon" in build.isa
    ),
}
_SUMS_BUILDS = Builds(
    "builds without RISC-V's vectors, whose code clears the sums", lambda build: "riscv_v" not in build.isa
)


KNOWN_DEFECTS: tuple[KnownDefect, ...] = (
    *(
        KnownDefect(
            who,
            "refuses_what_is_not_finite",
            name,
            WeightCase(rows=1, cols=256, recipe="ternary", magnitude=1.0, seed=0),
            _NAN_ACTIVATION if name == "I8_S" else _NAN_WEIGHT,
            _NAN_TRAINED,
            _always,
        )
        for who, name in (
            ("bitnet.cpp", "I8_S"),
            ("bitnet.cpp", "I2_S"),
            ("bitnet.cpp", "TQ1_0"),
            ("bitnet.cpp", "TQ2_0"),
            ("llama.cpp", "TQ1_0"),
            ("llama.cpp", "TQ2_0"),
        )
    ),
    *(
        KnownDefect(
            who,
            "refuses_scales_beyond_f16",
            name,
            WeightCase(rows=1, cols=256, recipe="zeros", magnitude=1.0, seed=0),
            _HALF_SCALE,
            _HALF_SCALE_TRAINED,
            _always,
        )
        for who in ("bitnet.cpp", "llama.cpp", "gguf")
        for name in ("TQ1_0", "TQ2_0", "Q8_0")
    ),
    KnownDefect(
        "bitnet.cpp",
        "multiplies_exactly",
        "I2_S",
        ProductCase(rows=1, cols=2176, tokens=1, weights="plus", activations="127", seed=0),
        _OVERFLOW,
        _OVERFLOW_TRAINED,
        _overflows_a_lane,
        _WITH_AVX2,
    ),
    KnownDefect(
        "bitnet.cpp",
        "multiplies_exactly",
        "I2_S_X4",
        ProductCase(rows=4, cols=2176, tokens=1, weights="plus", activations="127", seed=0),
        _OVERFLOW,
        _OVERFLOW_TRAINED,
        _overflows_a_lane,
        _WITH_AVX2,
    ),
    KnownDefect(
        "bitnet.cpp",
        "kernel_reads_what_the_decoder_reads",
        "I2_S",
        BytesCase(rows=1, cols=128, recipe="constant", seed=255),
        _CODE_3,
        _CODE_3_TRAINED,
        _has_code_3,
        _WITH_AVX2,
    ),
    *(
        KnownDefect(
            who,
            "packs_as_defined",
            name,
            WeightCase(rows=1, cols=32, recipe="single", magnitude=2.0**-130, seed=0),
            _TINY,
            _TINY_TRAINED,
            _has_tiny_block(32, 127),
            builds,
        )
        for who, builds in _TINY_BUILDS.items()
        for name in ("Q8_0", "Q8_1")
    ),
    *(
        KnownDefect(
            who,
            "packs_as_defined",
            name,
            WeightCase(rows=1, cols=32, recipe="ternary", magnitude=2.0**-132, seed=0),
            _TINY_NIBBLES,
            _TINY_TRAINED,
            covers,
            builds,
        )
        for who, builds in _TINY_BUILDS.items()
        for name, covers in (("Q4_0", _has_tiny_block(32, 8)), ("Q4_1", _has_tiny_range))
    ),
    KnownDefect(
        "llama.cpp",
        "packs_as_defined",
        "Q2_0",
        WeightCase(rows=1, cols=64, recipe="plus", magnitude=2.0**-149, seed=0),
        _TINY_TERNARY,
        _TINY_TRAINED,
        _has_tiny_block(64, 1),
    ),
    *(
        KnownDefect(
            "gguf",
            "packs_as_defined",
            name,
            WeightCase(rows=1, cols=32, recipe="zero rows", magnitude=1.0, seed=11),
            _ZERO_SIGN,
            _ZERO_SIGN_TRAINED,
            _has_zeros_that_begin_below,
        )
        for name in ("Q4_0", "Q5_0")
    ),
    KnownDefect(
        "gguf",
        "packs_as_defined",
        "Q4_1",
        # of several blocks, because which zero numpy gives depends on its vectors
        WeightCase(rows=7, cols=128, recipe="zero rows", magnitude=1.0, seed=0),
        _LEAST_SIGN,
        _LEAST_SIGN_TRAINED,
        _has_least_zeros_of_both_signs,
    ),
    *(
        KnownDefect(
            who,
            "packing_keeps_to_its_memory",
            "Q8_K",
            WeightCase(rows=1, cols=256, recipe="zeros", magnitude=1.0, seed=0),
            _SUMS,
            _SUMS_TRAINED,
            _has_zero_block,
            _SUMS_BUILDS,
        )
        for who in ("bitnet.cpp", "llama.cpp")
    ),
)


def defects_of(build: Implementation, contract_name: str, weight_format: str) -> list[KnownDefect]:
    """The known defects that this build of an implementation has."""
    wanted = (build.name, contract_name, weight_format)
    named = [d for d in KNOWN_DEFECTS if (d.implementation, d.contract, d.weight_format) == wanted]
    return [defect for defect in named if defect.builds.include(build)]
