"""How a checkpoint stores the weights of its projections: found, said, and refused when it is ambiguous.

| stored | weights | who |
|---|---|---|
| packed | codes, four rows a byte, and a scale to multiply by | transformers `autobitlinear`, offline |
| packed, inverse | the same, and a scale to divide by | transformers `bitlinear` |
| codes | codes as floats, and a scale to multiply by | `autobitlinear` unpacked |
| mean | weights of training: code = round(w / mean), scale = mean | `autobitlinear` online, 1bitLLM |
| ternary | 0 and plus or minus one scale | what was quantised and written out as floats |
| dense | weights that are not quantised | |

Sources: transformers integrations/bitnet.py; arXiv 2402.17764, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Floats
from bitparity.model.checkpoint.config import Config
from bitparity.model.checkpoint.shards import FLOAT_TYPES, Stored

Kind = Literal["packed", "packed inverse", "codes", "mean", "ternary", "dense"]
_ONLINE, _OFFLINE = "online", "offline"
_DIVIDES, _MULTIPLIES = "bitlinear", "autobitlinear"
_SHARE_IN_USE = 0.6  # of trained ternary weights are not zero
# One reading of a scale makes outputs so many times larger or smaller than their input that it cannot be
# meant, where the other one does not.
_TELLING = 100.0


@dataclass(frozen=True)
class Projection:
    """The tensors of one projection as they are stored; module is its name in the checkpoint."""

    module: str
    weight: Stored
    scale: Stored | None


@dataclass(frozen=True)
class Convention:
    """How the weights are stored, and a sentence that says how that is known."""

    kind: Kind
    reason: str


def find_convention(config: Config, projections: Sequence[Projection], *, normed: bool) -> Convention:
    """The convention of these projections, all of one checkpoint.

    normed  whether each projection has a norm of its own before it, as BitNet's embedding models have

    Raises BadInput when what config.json says, what the class does and what the values are contradict.
    """
    quantization = _Quantization.of(config)
    types = {p.weight.dtype for p in projections}
    if len(types) > 1:
        raise BadInput(
            f"the projections are stored as {' and '.join(sorted(types))}, and only one of them is read"
        )
    scaled = [p for p in projections if p.scale is not None]
    if scaled and len(scaled) < len(projections):
        bare = next(p for p in projections if p.scale is None)
        raise BadInput(f"{bare.module}.weight_scale is missing, which other projections have")
    if types == {"U8"}:
        return _packed(quantization, projections)
    if not types <= set(FLOAT_TYPES):
        raise BadInput(
            f"{projections[0].weight.name} is {types.pop()}; U8, {', '.join(FLOAT_TYPES)} are read"
        )
    return (
        _codes(quantization, projections) if scaled else _floats(config, quantization, projections[0], normed)
    )


@dataclass(frozen=True)
class _Quantization:
    """quantization_config of config.json, with the defaults of transformers; is_given: if there is one."""

    is_given: bool
    linear_class: str
    mode: str

    @classmethod
    def of(cls, config: Config) -> _Quantization:
        given = config.quantization
        if given is None:
            return cls(False, "", "")
        method = given.get("quant_method")
        if method != "bitnet":
            raise BadInput(f"config.json: quant_method is {method!r}; only 'bitnet' is read")
        if given.get("use_rms_norm"):
            raise BadInput("config.json: use_rms_norm of quantization_config is not supported")
        return cls(True, given.get("linear_class", _DIVIDES), given.get("quantization_mode", _OFFLINE))


def _packed(quantization: _Quantization, projections: Sequence[Projection]) -> Convention:
    if projections[0].scale is None:
        raise BadInput(f"{projections[0].module}.weight is packed and has no weight_scale")
    by_values = _direction_by_values(projections)
    if not quantization.is_given:
        if by_values is None:
            raise BadInput(
                "weights are packed with a weight_scale, config.json has no quantization_config that says "
                "whether to multiply or to divide by it, and both are possible; add one with linear_class "
                f"{_MULTIPLIES!r} (multiply) or {_DIVIDES!r} (divide)"
            )
        how = "multiplied" if by_values == "packed" else "divided"
        return Convention(
            by_values, f"packed weights, {how} by weight_scale: their size leaves no other reading"
        )
    if quantization.mode == _ONLINE:
        raise BadInput("weights are packed, and quantization_mode 'online' needs those of training")
    kind: Kind = "packed" if quantization.linear_class == _MULTIPLIES else "packed inverse"
    how = "multiplied" if kind == "packed" else "divided"
    if by_values not in (None, kind):
        raise BadInput(
            f"linear_class {quantization.linear_class!r} means that outputs are {how} by weight_scale, but "
            "their size says the opposite; one of the two is wrong"
        )
    return Convention(
        kind, f"packed weights, {how} by weight_scale: linear_class {quantization.linear_class!r}"
    )


def _codes(quantization: _Quantization, projections: Sequence[Projection]) -> Convention:
    if not np.isin(projections[0].weight.values(), (-1, 0, 1)).all():
        raise BadInput(f"{projections[0].module} has a weight_scale, but its weights are not -1, 0 and 1")
    if quantization.is_given and quantization.linear_class != _MULTIPLIES:
        raise BadInput(
            f"linear_class {quantization.linear_class!r} needs packed weights, and these are floats"
        )
    if not quantization.is_given and _direction_by_values(projections) != "packed":
        raise BadInput(
            "config.json has no quantization_config that says whether weight_scale multiplies or divides"
        )
    return Convention("codes", "codes stored as floats, multiplied by weight_scale")


def _floats(config: Config, quantization: _Quantization, first: Projection, normed: bool) -> Convention:
    means = [
        (quantization.mode == _ONLINE, "quantization_mode 'online'"),
        (config.row.quantizes, f"the class {config.row.names[0]} quantises in every pass"),
        (normed, "every projection has a norm of its own, as BitNet's have"),
    ]
    why = next((words for holds, words in means if holds), None)
    if is_ternary_already(first.weight.values()):
        if why is not None:
            raise BadInput(
                f"{first.module}.weight holds 0 and plus or minus one magnitude, so it is quantised already, "
                f"but would be quantised again with its mean as the scale ({why}); which of the two is meant?"
            )
        return Convention("ternary", "weights are 0 and plus or minus one scale as they are stored")
    if why is not None:
        return Convention("mean", f"weights of training, rounded to multiples of their mean magnitude: {why}")
    if quantization.is_given:
        raise BadInput(
            f"config.json says linear_class {quantization.linear_class!r}, {quantization.mode}, but "
            f"{first.module}.weight holds floats of several magnitudes and has no weight_scale"
        )
    if "attn_sub_norm" in config.row.modules and len(config.row.architectures) > 1:
        raise BadInput(
            f"{config.row.names[0]} without a quantization_config: its weights have several magnitudes, and "
            "whether they are to be quantised is not said; add one with quantization_mode 'online' if so"
        )
    return Convention("dense", "weights are not quantised")


def is_ternary_already(values: Floats) -> bool:
    """Whether all weights are 0 or plus or minus one and the same magnitude."""
    magnitudes = np.abs(values)
    largest = magnitudes.max(initial=np.float32(0))
    return bool(((magnitudes == 0) | (magnitudes == largest)).all())


def _direction_by_values(projections: Sequence[Projection]) -> Kind | None:
    """Multiply or divide, by the size that outputs have of inputs of size 1; None where both are possible."""
    logs = []
    for p in projections:
        assert p.scale is not None
        scale = abs(float(p.scale.values().reshape(-1)[0]))
        if not 0 < scale < np.inf:
            raise BadInput(f"{p.scale.name} is {scale:g}, which is no scale")
        width = np.log(np.sqrt(_SHARE_IN_USE * p.weight.shape[-1]))
        logs.append((abs(width + np.log(scale)), abs(width - np.log(scale))))
    direct, inverse = np.median(np.array(logs), axis=0)
    if abs(direct - inverse) < np.log(_TELLING):
        return None
    return "packed" if direct < inverse else "packed inverse"


def is_left_out(config: Config, module: str) -> bool:
    """Whether quantization_config lists the module among those that are not converted."""
    quantization: Mapping[str, object] = config.quantization or {}
    listed = quantization.get("modules_to_not_convert") or []
    assert isinstance(listed, list)
    return any(
        module == name or module.endswith(f".{name}") or f".{name}." in f".{module}." for name in listed
    )
