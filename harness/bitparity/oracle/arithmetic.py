"""How an engine rounds and sums where the definition leaves it open.

The definition does not say in what type K and V are cached, where a float32 value is rounded before a
product, or how activations become int8.  Engines differ there, and the difference (1e-4 of an attention row)
is a thousand times what is judged.  So an arithmetic is a value with an axis for each such place, and the
oracle rounds where the engine does.  It does not follow the order in which an engine adds, which is float32
noise to it; the native engine follows that too, to the bit.

An engine states its arithmetic in its fingerprint, `details["arithmetic"]`: a name, and the axes that differ
from it.

    BASE[, AXIS OPTION]...      plain      plain, kv f16, q f16 in one row      llama.cpp/avx512, kv q8_0

plain        float32 everywhere, rounded nowhere but in the int8 activations of the weight format
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

The names of ggml's builds are GENERATION[/ORDER][/COMPILER][/fused_sums]: llama.cpp, bitnet.cpp/avx512,
llama.cpp/avx512_bf16/gcc, llama.cpp/avx2/gcc/fused_sums.  A stranger's engine that states nothing is judged
by bitnet.cpp's roundings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bitparity.engine import Fingerprint
from bitparity.errors import BadInput

ORDERS = ("avx2", "avx512", "avx512_bf16", "neon", "neon_fp16")
COMPILERS = ("gcc", "clang")
FUSED_SUMS = "fused_sums"
IN_ONE_ROW = " in one row"  # a rounding that only a batch of one row has
ROUNDINGS = ("f32", "f16", "bf16", "f16" + IN_ONE_ROW, "bf16" + IN_ONE_ROW)
BY_FORMAT, AS_STORED = "by format", "as stored"


@dataclass(frozen=True)
class Axis:
    """One place where sound engines differ.

    name     of the field of Arithmetic, and as it is written
    options  what an engine may do there; first what `plain` does
    """

    name: str
    options: tuple[str, ...]


AXES = (
    Axis("kv", ("f32", "f16", "bf16", "q8_0")),
    Axis("q", (*ROUNDINGS, "q8_0")),
    Axis("probs", ROUNDINGS),
    Axis("f16_inputs", ROUNDINGS),
    Axis("bf16_inputs", ROUNDINGS),
    Axis("block_inputs", (BY_FORMAT, "f32")),
    Axis("activations", (BY_FORMAT, "token", "block 256", "block 128", "block 64", "block 32", "none")),
    Axis("largest", ("127", "128")),
    Axis("rounding", ("even", "away", "zero", "down")),
    Axis("head", (AS_STORED, "int8", "q8_0", "int8 weights", "q8_0 weights", "int8 away")),
    Axis("embeddings", (AS_STORED, "f16", "bf16", "int8", "q8_0")),
    Axis("gelu", ("f32", "f16")),
    Axis("stages", ("f32", "bf16", "f16")),
)
_AXES = {axis.name: axis for axis in AXES}


@dataclass(frozen=True)
class Arithmetic:
    """One way to round and to sum.

    The axes, whose options are listed in AXES; ops.round_to says what each type is:

    kv           type in which K and V are cached
    q, probs     what Q is rounded to before q.k, and softmax rows before x V: never (f32), always, or only
                 when the batch has one row
    f16_inputs   the same of the input of a product with F16 weights; bf16_inputs with BF16 weights
    block_inputs of a product with weights of several bits in blocks (Q6_K, Q8_0): quantised as the weight
                 format says, or left as they are because the weights are unpacked to floats
    activations  values of an input of a ternary product that share a scale when they become int8: a token's,
                 a block of so many, those that the weight format says (a token's in I2_S, 256 in TQ), or
                 none: the product takes floats
    largest      code that the largest of them gets
    rounding     to an integer: half to even, half away from zero, towards zero, or down
    head         type in which the head is multiplied, and its input with it unless it says "weights"; int8
                 codes are rounded half to even, or half away from zero where it says "away"
    embeddings   type from which embeddings are read
    gelu         computed in float32, or looked up in a table with an entry for every F16 number
    stages       type to which the output of every stage is rounded

    What else native follows, and the oracle in part:

    generation          which of the two ggml code bases, or plain
    order               the instruction set that the ggml build was made for; decides the order of float sums
    compiler            what compiled it; decides about a * b + c where the source leaves it open
    fuses_sums          whether a sum of products in plain C, which is Q2_0's, rounds once a product: GCC does
                        so unless it tunes for a CPU on which chains of fma are slow (-march=native on Zen)
    one_head_q          q in a model with one head; None is q
    rope_by_recurrence  angles multiplied up in float32, as ggml has them
    fused_quantiser     activation * scale rounded to an integer without rounding to float32 before
    """

    kv: str = "f32"
    q: str = "f32"
    probs: str = "f32"
    f16_inputs: str = "f32"
    bf16_inputs: str = "f32"
    block_inputs: str = BY_FORMAT
    activations: str = BY_FORMAT
    largest: str = "127"
    rounding: str = "even"
    head: str = AS_STORED
    embeddings: str = AS_STORED
    gelu: str = "f32"
    stages: str = "f32"
    generation: str = "plain"
    order: str = ""
    compiler: str = ""
    fuses_sums: bool = False
    one_head_q: str | None = None
    rope_by_recurrence: bool = True
    fused_quantiser: bool = False

    @property
    def name(self) -> str:
        """What arithmetic_named reads."""
        sums = FUSED_SUMS if self.fuses_sums else ""
        base = "/".join(part for part in (self.generation, self.order, self.compiler, sums) if part)
        named = _named(base)
        return ", ".join(
            (base, *(f"{a} {getattr(self, a)}" for a in _AXES if self.option(a) != named.option(a)))
        )

    @property
    def rounds_head_input(self) -> bool:
        """Whether the head's input has the head's own type."""
        return self.head != AS_STORED and not self.head.endswith(" weights")

    @property
    def adds_in_f16(self) -> bool:
        """Whether sums of products of F16 numbers are F16 numbers, which the oracle does not follow."""
        return self.order == "neon_fp16"

    @property
    def is_a_ggml_build(self) -> bool:
        """Whether it is one of those that `arithmetic_names` lists."""
        return self.generation in GENERATIONS and "," not in self.name

    def option(self, axis: str) -> str:
        """What is done at one axis."""
        option: str = getattr(self, axis)
        return option

    def having(self, **axes: str) -> Arithmetic:
        """The same with other options at some axes; a changed q holds for one head, too.

        Raises BadInput for an axis or an option that there is not.
        """
        for name, option in axes.items():
            if name not in _AXES:
                raise BadInput(f"an arithmetic has no axis {name!r}; there are {', '.join(_AXES)}")
            if option not in _AXES[name].options:
                known = ", ".join(_AXES[name].options)
                raise BadInput(
                    f"the axis {name} of an arithmetic has no option {option!r}; there are {known}"
                )
        changes: dict[str, Any] = {**axes, **({"one_head_q": None} if "q" in axes else {})}
        return replace(self, **changes)

    @property
    def quantises_for_blocks(self) -> bool:
        """Whether the input of a product with dense weights in blocks becomes int8."""
        return self.block_inputs == BY_FORMAT and self.activations != "none"

    def q_type(self, rows: int, n_head: int) -> str:
        """What Q is rounded to in a batch of so many rows."""
        return _at(self.one_head_q if n_head == 1 and self.one_head_q else self.q, rows)

    def probs_type(self, rows: int) -> str:
        return _at(self.probs, rows)

    def input_type(self, weight_format: str, rows: int) -> str:
        """What the input of a product with weights of a float format is rounded to."""
        return _at({"F16": self.f16_inputs, "BF16": self.bf16_inputs}.get(weight_format, "f32"), rows)


def _at(rounding: str, rows: int) -> str:
    if rounding.endswith(IN_ONE_ROW):
        return rounding.removesuffix(IN_ONE_ROW) if rows == 1 else "f32"
    return rounding


PLAIN = Arithmetic()
_ONE_ROW = "f16" + IN_ONE_ROW
# bitnet.cpp asks for Clang; pip builds llama.cpp with the C compiler of the system.
BITNET_CPP = Arithmetic(
    kv="f16",
    q="f16",
    one_head_q=_ONE_ROW,
    probs=_ONE_ROW,
    f16_inputs=_ONE_ROW,
    bf16_inputs="bf16",
    gelu="f16",
    generation="bitnet.cpp",
    order="avx2",
    compiler="clang",
)
LLAMA_CPP = Arithmetic(
    kv="f16",
    q="f16",
    probs="f16",
    f16_inputs="f16",
    bf16_inputs="bf16",
    gelu="f16",
    generation="llama.cpp",
    order="avx2",
    compiler="gcc",
)
GENERATIONS = {a.generation: a for a in (BITNET_CPP, LLAMA_CPP)}


def arithmetic_names() -> list[str]:
    """The names of ggml's builds that arithmetic_named takes."""
    names = list(GENERATIONS)
    names += [f"{generation}/{order}" for generation in GENERATIONS for order in ORDERS]
    names += [f"{name}/{compiler}" for name in names for compiler in COMPILERS]
    return names + [f"{name}/{FUSED_SUMS}" for name in names if name.startswith(LLAMA_CPP.generation)]


def arithmetic_named(name: str) -> Arithmetic:
    """The arithmetic of this name; a build is for AVX2 and by its generation's usual compiler unless it says.

    Raises BadInput for a name that is not of the form above.
    """
    base, *axes = name.split(",")
    try:
        pairs = (axis.split(maxsplit=1) for axis in axes)
        return _named(base).having(**{pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs if pair})
    except BadInput as error:
        raise BadInput(f"arithmetic {name!r}: {error}") from None


def _named(base: str) -> Arithmetic:
    generation, *axes = base.split("/")
    if generation == PLAIN.generation and not axes:
        return PLAIN
    if generation not in GENERATIONS:
        known = ", ".join((PLAIN.generation, *GENERATIONS))
        raise BadInput(f"it begins with {generation!r}; there are {known}")
    found = GENERATIONS[generation]
    for axis in axes:
        if axis in ORDERS:
            found = replace(found, order=axis)
        elif axis in COMPILERS:
            found = replace(found, compiler=axis)
        elif axis == FUSED_SUMS:
            found = replace(found, fuses_sums=True)
        else:
            known = ", ".join((*ORDERS, *COMPILERS, FUSED_SUMS))
            raise BadInput(f"it has {axis!r}; after {generation} there may be {known}")
    return _on_neon(found) if found.order in ("neon", "neon_fp16") else found


def _on_neon(arithmetic: Arithmetic) -> Arithmetic:
    """The roundings of builds for AArch64, whose quantiser of TQ1_0 and TQ2_0 has an fma if any has."""
    when = _ONE_ROW if arithmetic.order == "neon" else "f16"
    return replace(
        arithmetic,
        one_head_q=when,
        probs=when,
        f16_inputs=when,
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
