"""RoPE stretched beyond the context that a model was trained on: linearly, or by YaRN.

YaRN (Peng et al. 2023, arXiv 2309.00071, section 3) leaves alone the pairs that turn often within the
original context, divides the angles of those that turn less than once, blends in between, and makes q.k a bit
larger.  Keys and defaults are those of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bitparity.errors import BadInput

_TURNS_LEFT_ALONE = 32.0  # beta_fast of the paper: pairs that turn so often in the original context
_TURNS_DIVIDED = 1.0  # beta_slow
# What changes YaRN's numbers and is not read: key and the values that change nothing.
_UNSUPPORTED: dict[str, tuple[float, ...]] = {
    "attn_factor": (1.0,),
    "yarn_log_multiplier": (0.0,),
    "yarn_ext_factor": (1.0, -1.0),
    "yarn_attn_factor": (1.0,),
    "yarn_beta_fast": (_TURNS_LEFT_ALONE,),
    "yarn_beta_slow": (_TURNS_DIVIDED,),
}


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE's angles differ from position * base^(-2 i / rope_dim).

    factor            what angles are divided by
    original_context  positions that the model was trained on; YaRN alone needs it
    """

    kind: Literal["linear", "yarn"]
    factor: float
    original_context: int

    @property
    def magnitude(self) -> float:
        """What queries and keys are multiplied by: YaRN, equation 22, as sqrt(1 / t)."""
        return 1 + 0.1 * math.log(self.factor) if self.kind == "yarn" else 1.0

    def blended_pairs(self, rope_dim: int, base: float) -> tuple[float, float]:
        """The pair up to which angles are left alone, and that from which on they are divided.

        Source: ggml_rope_yarn_corr_dims, whose upper limit is the number of dimensions, not of pairs.
        """
        first = math.floor(self._pair_that_turns(_TURNS_LEFT_ALONE, rope_dim, base))
        last = math.ceil(self._pair_that_turns(_TURNS_DIVIDED, rope_dim, base))
        return max(0, first), min(rope_dim - 1, last)

    def _pair_that_turns(self, turns: float, rope_dim: int, base: float) -> float:
        """The pair, not whole, that turns so often within the original context."""
        return rope_dim * math.log(self.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))


def read_rope_scaling(get: Callable[[str], Any], arch: str, context_length: int) -> RopeScaling | None:
    """Read the keys `<arch>.rope.scaling.*`; None when angles are not scaled.

    get  gives the value of a key without `<arch>.`, or None
    Raises BadInput for a kind of scaling, or a parameter of it, that is not supported.
    """
    kind: Any = get("rope.scaling.type") or "linear"
    if kind not in ("none", "linear", "yarn"):
        raise BadInput(
            f"metadata key {arch}.rope.scaling.type is {kind!r}; only none, linear and yarn are supported"
        )
    for name, harmless in _UNSUPPORTED.items():
        value = get(f"rope.scaling.{name}")
        if value is not None and value not in harmless:
            raise BadInput(
                f"metadata key {arch}.rope.scaling.{name} is {value!r}; only {harmless[0]} is supported"
            )
    factor = get("rope.scaling.factor") or get("rope.scale_linear") or 1.0
    if kind == "none" or factor == 1.0:
        return None
    if not isinstance(factor, float) or not 1.0 < factor < math.inf:
        raise BadInput(f"metadata key {arch}.rope.scaling.factor is {factor!r}; it must be at least 1")
    return RopeScaling(kind, factor, get("rope.scaling.original_context_length") or context_length)
