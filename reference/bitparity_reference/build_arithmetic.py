"""The arithmetic of a reference, told from how its library was built."""

from __future__ import annotations

from dataclasses import replace

from bitparity.engine import Fingerprint
from bitparity.oracle.arithmetic import FUSED_SUMS


def with_arithmetic(fingerprint: Fingerprint, *, fuses_sums: bool) -> Fingerprint:
    """The fingerprint of a loaded library with its arithmetic, as bitparity.oracle.arithmetic names it.

    fuses_sums  as fused_sums.py measures it

    Its generation counts (build_facts.py), not the name of the engine.  A build for instruction sets whose
    order of sums is not known states no order.
    """
    generation = fingerprint.details.get("generation", fingerprint.engine)
    parts = [generation, *_order(generation, set(fingerprint.isa.split("+")))]
    if fingerprint.compiler:
        parts.append("gcc" if "gcc" in fingerprint.compiler.lower() else "clang")
    if fuses_sums:
        parts.append(FUSED_SUMS)
    return replace(fingerprint, details={**fingerprint.details, "arithmetic": "/".join(parts)})


def _order(generation: str, isa: set[str]) -> tuple[str, ...]:
    if "avx512" in isa:
        return ("avx512_bf16" if "avx512_bf16" in isa else "avx512",)
    if {"avx2", "fma"} <= isa:
        return ("avx2",)
    # bitnet.cpp has no float kernels for SVE, and reports SVE on every CPU that has it, whatever its build.
    if {"neon", "arm_fma"} <= isa and (generation == "bitnet.cpp" or "sve" not in isa):
        return ("neon_fp16" if "fp16_va" in isa else "neon",)
    return ()
