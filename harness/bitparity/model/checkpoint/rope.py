"""RoPE in config.json: its base, and how it is stretched, old style and as transformers 5 nests it.

| | old | transformers 5 |
|---|---|---|
| base | rope_theta | rope_parameters.rope_theta |
| stretching | rope_scaling | rope_parameters |
| Gemma 3 | rope_theta, rope_local_base_freq | rope_parameters.full_attention, .sliding_attention |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Floats

_NESTED = "full_attention"
_WINDOWED = "sliding_attention"


@dataclass(frozen=True)
class Rope:
    """What was read.

    metadata  keys behind "<architecture>."
    factors   divisors of the angles, (rope_dim / 2,), where Llama 3's stretching is asked for
    read      keys with defaults that were found nested elsewhere
    """

    metadata: dict[str, Any]
    factors: Callable[[int], Floats] | None = None
    read: frozenset[str] = frozenset()


def read_rope(values: Mapping[str, Any]) -> Rope:
    """Read it from the values of a config.json; BadInput for a kind of stretching that is not supported."""
    nested: Mapping[str, Any] = values.get("rope_parameters") or {}
    full = nested.get(_NESTED, nested)
    stretching = {**(values.get("rope_scaling") or {}), **full}
    base = float(stretching.pop("rope_theta", values["rope_theta"]))
    found = {"rope_theta"} if "rope_theta" in full else set()
    metadata: dict[str, Any] = {"rope.freq_base": base}
    if "rope_local_base_freq" in values:
        windowed = nested.get(_WINDOWED, {})
        if windowed.get("rope_type", "default") != "default":
            raise BadInput("config.json: RoPE of windowed blocks is stretched, which is not supported")
        found |= {"rope_local_base_freq"} if "rope_theta" in windowed else set()
        metadata["rope.freq_base_swa"] = float(windowed.get("rope_theta", values["rope_local_base_freq"]))
    if stretching.pop("partial_rotary_factor", 1.0) != 1.0:
        raise BadInput("config.json: partial_rotary_factor is supported as 1 only")
    kind = str(stretching.pop("rope_type", stretching.pop("type", "default")))
    stretching.pop("type", None)
    if kind not in _KINDS:
        raise BadInput(f"config.json: RoPE of the kind {kind!r} is none of {', '.join(_KINDS)}")
    more, factors = _KINDS[kind](stretching, values, base)
    if stretching:
        raise BadInput(f"config.json: {next(iter(stretching))} of RoPE's kind {kind!r} is not supported")
    return Rope(metadata | more, factors, frozenset(found))


_Read = tuple[dict[str, Any], Callable[[int], Floats] | None]


def _default(stretching: dict[str, Any], values: Mapping[str, Any], base: float) -> _Read:
    return {}, None


def _linear(stretching: dict[str, Any], values: Mapping[str, Any], base: float) -> _Read:
    return {"rope.scaling.type": "linear", "rope.scaling.factor": _number(stretching, "factor")}, None


def _yarn(stretching: dict[str, Any], values: Mapping[str, Any], base: float) -> _Read:
    factor = _number(stretching, "factor")
    original = stretching.pop("original_max_position_embeddings", values["max_position_embeddings"])
    usual = {
        "attention_factor": 1 + 0.1 * math.log(factor),
        "beta_fast": 32,
        "beta_slow": 1,
        "truncate": True,
    }
    for key, value in usual.items():
        given = stretching.pop(key, None)
        if given is not None and not math.isclose(given, value, rel_tol=1e-6):
            raise BadInput(f"config.json: {key} of YaRN is {given!r}; only {value:g} is supported")
    return {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": int(original),
    }, None


def _llama3(stretching: dict[str, Any], values: Mapping[str, Any], base: float) -> _Read:
    low, high = _number(stretching, "low_freq_factor"), _number(stretching, "high_freq_factor")
    factor, original = _number(stretching, "factor"), _number(stretching, "original_max_position_embeddings")

    def factors(rope_dim: int) -> Floats:
        """Turns in the original context decide: few are divided by the factor, many are left alone."""
        turns = original / (2 * np.pi * base ** (np.arange(0, rope_dim, 2) / rope_dim))
        left_alone = np.clip((turns - low) / (high - low), 0, 1)
        return (1 / ((1 - left_alone) / factor + left_alone)).astype(np.float32)

    return {}, factors


def _number(stretching: dict[str, Any], key: str) -> float:
    value = stretching.pop(key, None)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BadInput(f"config.json: {key} of RoPE is {value!r}, not a positive number")
    return float(value)


_KINDS: dict[str, Callable[[dict[str, Any], Mapping[str, Any], float], _Read]] = {
    "default": _default,
    "linear": _linear,
    "yarn": _yarn,
    "llama3": _llama3,
}
