"""How an engine rounds and sums where the definition leaves it open.

The definition does not say where a float32 value is rounded to F16 before a matmul.  Engines differ there,
and the difference (1e-4 of an attention row) is a thousand times what is judged.  So the oracle rounds where
the engine does.  It does not follow the order in which an engine adds, which is float32 noise to it; the
native engine follows that too, to the bit.

bitnet.cpp   K and V are cached as F16.  A matmul with an F16 matrix goes through llamafile's tiled code when
             it has two or more rows and its float32 input is contiguous, and that code leaves the input as it
             is; otherwise ggml_vec_dot_f16 takes both sides in F16.  Softmax rows and the head's input are
             contiguous, so they are rounded in decode only.  Q is a permuted view, so it is always rounded,
             unless there is one head only: then the view is contiguous.
             Source: ggml.c ggml_compute_forward_mul_mat, llamafile/sgemm.cpp llamafile_sgemm (x86).
llama.cpp    the same places, but the tiled code takes F16 on both sides: always rounded (x86).
             Source: ggml-cpu.c ggml_compute_forward_mul_mat, llamafile/sgemm.cpp.
neon         builds of either for AArch64 have tiled code that leaves the input as it is.
neon_fp16    those for CPUs with FP16 vector arithmetic have tiled code that takes F16 on both sides.  They
             also round sums of F16 products to F16, which the oracle does not follow.

An engine states its arithmetic in its fingerprint, `details["arithmetic"]`, by a name:

    GENERATION[/ORDER][/COMPILER]       llama.cpp    bitnet.cpp/avx512    llama.cpp/avx512_bf16/gcc

A stranger's engine that states none is judged by bitnet.cpp's roundings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bitparity.engine import Fingerprint
from bitparity.errors import BadInput

When = Literal["always", "one row", "never"]
ORDERS = ("avx2", "avx512", "avx512_bf16", "neon", "neon_fp16")
COMPILERS = ("gcc", "clang")


@dataclass(frozen=True)
class Arithmetic:
    """One way to round and to sum.

    generation  which of the two ggml code bases is followed; decides the roundings to F16
    order       the instruction set that the ggml build was made for; decides the order of float sums
    compiler    what compiled it; decides about a * b + c where the source leaves it open
    *_to_f16    when that input of an F16 matmul is rounded to F16: always, if the batch has one row, or never
    """

    generation: str
    q_to_f16: When  # before q.k
    one_head_q_to_f16: When  # the same in a model with one head
    probs_to_f16: When  # before probs x V
    inputs_to_f16: When  # before a projection whose weights are F16
    order: str = "avx2"
    compiler: str = "clang"
    rope_by_recurrence: bool = True  # angles multiplied up in float32, as ggml has them
    fused_quantiser: bool = (
        False  # activation * scale rounded to an integer without rounding to float32 before
    )

    @property
    def name(self) -> str:
        return f"{self.generation}/{self.order}/{self.compiler}"

    def rounds_q(self, rows: int, n_head: int) -> bool:
        return _holds(self.one_head_q_to_f16 if n_head == 1 else self.q_to_f16, rows)

    def rounds_probs(self, rows: int) -> bool:
        return _holds(self.probs_to_f16, rows)

    def rounds_inputs(self, rows: int) -> bool:
        return _holds(self.inputs_to_f16, rows)


def _holds(when: When, rows: int) -> bool:
    return when == "always" or (when == "one row" and rows == 1)


# bitnet.cpp asks for Clang; pip builds llama.cpp with the C compiler of the system.
BITNET_CPP = Arithmetic("bitnet.cpp", "always", "one row", "one row", "one row")
LLAMA_CPP = Arithmetic("llama.cpp", "always", "always", "always", "always", compiler="gcc")
GENERATIONS = {a.generation: a for a in (BITNET_CPP, LLAMA_CPP)}


def arithmetic_names() -> list[str]:
    """Every name that arithmetic_named takes."""
    names = list(GENERATIONS)
    names += [f"{generation}/{order}" for generation in GENERATIONS for order in ORDERS]
    return names + [f"{name}/{compiler}" for name in names for compiler in COMPILERS]


def arithmetic_named(name: str) -> Arithmetic:
    """The arithmetic of this name; what the name leaves out is AVX2 and the generation's usual compiler.

    Raises BadInput for a name that is not of the form above.
    """
    generation, *axes = name.split("/")
    if generation not in GENERATIONS:
        raise BadInput(
            f"arithmetic {name!r} begins with {generation!r}; there are {', '.join(sorted(GENERATIONS))}"
        )
    found = GENERATIONS[generation]
    for axis in axes:
        if axis in ORDERS:
            found = replace(found, order=axis)
        elif axis in COMPILERS:
            found = replace(found, compiler=axis)
        else:
            known = ", ".join((*ORDERS, *COMPILERS))
            raise BadInput(f"arithmetic {name!r} has {axis!r}; after {generation} there may be {known}")
    return _on_neon(found) if found.order in ("neon", "neon_fp16") else found


def _on_neon(arithmetic: Arithmetic) -> Arithmetic:
    """The roundings of builds for AArch64, whose quantiser of TQ1_0 and TQ2_0 has an fma if any has."""
    when: When = "one row" if arithmetic.order == "neon" else "always"
    return replace(
        arithmetic,
        one_head_q_to_f16=when,
        probs_to_f16=when,
        inputs_to_f16=when,
        fused_quantiser=arithmetic.compiler == "gcc",
    )


def arithmetic_of(fingerprint: Fingerprint | None) -> Arithmetic:
    """The arithmetic of the engine with this fingerprint: as it states, else by its name, else bitnet.cpp's.

    Raises BadInput when it states a name that arithmetic_named does not take.
    """
    if fingerprint is None:
        return BITNET_CPP
    stated = fingerprint.details.get("arithmetic")
    if stated is None:
        return GENERATIONS.get(fingerprint.engine, BITNET_CPP)
    try:
        return arithmetic_named(stated)
    except BadInput as error:
        raise BadInput(f"{fingerprint.engine}: {error}") from None
