"""Which roundings an engine applies on top of the definition.

The definition leaves open where a float32 value is rounded to F16 before a matmul.  Engines differ there, and
the difference (1e-4 of an attention row) is a thousand times what is judged.  So the oracle rounds where the
engine does.

bitnet.cpp   K and V are cached as F16.  A matmul with an F16 matrix goes through llamafile's tiled code when
             it has two or more rows and its float32 input is contiguous, and that code leaves the input as it
             is; otherwise ggml_vec_dot_f16 takes both sides in F16.  Softmax rows and the head's input are
             contiguous, so they are rounded in decode only.  Q is a permuted view, so it is always rounded,
             unless there is one head only: then the view is contiguous.
             Source: ggml.c ggml_compute_forward_mul_mat, llamafile/sgemm.cpp llamafile_sgemm (x86).
llama.cpp    the same places, but the tiled code takes F16 on both sides: always rounded (x86).
             Source: ggml-cpu.c ggml_compute_forward_mul_mat, llamafile/sgemm.cpp.

A stranger's engine names one of these in its fingerprint, `details["numerics"]`; without it, bitnet.cpp's
are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitparity.engine import Fingerprint
from bitparity.errors import BadInput

When = Literal["always", "one row", "never"]


@dataclass(frozen=True)
class Numerics:
    """When the input of an F16 matmul is rounded to F16: always, if the batch has one row, or never."""

    name: str
    q_to_f16: When  # before q.k
    one_head_q_to_f16: When  # the same in a model with one head
    probs_to_f16: When  # before probs x V
    inputs_to_f16: When  # before a projection whose weights are F16
    rope_by_recurrence: bool = True  # angles multiplied up in float32, as ggml has them
    fused_quantiser: bool = (
        False  # activation * scale rounded to an integer without rounding to float32 before
    )

    def rounds_q(self, rows: int, n_head: int) -> bool:
        return _holds(self.one_head_q_to_f16 if n_head == 1 else self.q_to_f16, rows)

    def rounds_probs(self, rows: int) -> bool:
        return _holds(self.probs_to_f16, rows)

    def rounds_inputs(self, rows: int) -> bool:
        return _holds(self.inputs_to_f16, rows)


def _holds(when: When, rows: int) -> bool:
    return when == "always" or (when == "one row" and rows == 1)


BITNET_CPP = Numerics("bitnet.cpp", "always", "one row", "one row", "one row")
LLAMA_CPP = Numerics("llama.cpp", "always", "always", "always", "always")
NUMERICS = {n.name: n for n in (BITNET_CPP, LLAMA_CPP)}


def numerics_of(fingerprint: Fingerprint | None) -> Numerics:
    """The roundings of the engine with this fingerprint: as it declares, else by its name, else bitnet.cpp's.

    Raises BadInput when it declares a name that is not in NUMERICS.
    """
    if fingerprint is None:
        return BITNET_CPP
    declared = fingerprint.details.get("numerics")
    if declared is None:
        return NUMERICS.get(fingerprint.engine, BITNET_CPP)
    if declared not in NUMERICS:
        raise BadInput(
            f"{fingerprint.engine} declares numerics {declared!r}; there are {', '.join(sorted(NUMERICS))}"
        )
    return NUMERICS[declared]
