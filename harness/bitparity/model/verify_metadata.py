"""Whether a file computes what a checkpoint does: every hyperparameter, and what the file leaves open."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from bitparity.architectures.graph import Architecture
from bitparity.model.rope_scaling import RopeScaling
from bitparity.model.types import HyperParameters, Model

_ROUNDED = 1e-6  # relative: config.json has decimals, a file float32
_ATTENTION = "attention is wrong, the more so the further apart two tokens are"
# What another value of a hyperparameter does, by its field; n_vocab and shapes show in the tensors.
_EFFECTS = {
    "norm_eps": "every norm divides by another number, which matters most where its input is small",
    "rope_base": f"queries and keys turn at other speeds: {_ATTENTION}",
    "rope_dim": f"another part of each head is rotated: {_ATTENTION}",
    "rope_pairs": "RoPE turns rows together that are no pair: attention is wrong from position 1 on",
    "rope_scaling": f"RoPE is stretched otherwise: {_ATTENTION}",
    "sliding_window": "blocks with a window see other positions",
    "windowed_rope_base": f"queries and keys of blocks with a window turn at other speeds: {_ATTENTION}",
    "activation": "the feed-forward computes another function in every block",
    "n_head": "heads are cut otherwise: attention mixes what does not belong together",
    "n_head_kv": "queries meet the keys of other heads",
    "head_dim": "scores are scaled otherwise, and heads are cut otherwise",
    "n_layer": "blocks are missing, or too many",
}
_NO_NUMBER = {"context_length": "engines make room for so many positions; no number changes"}


@dataclass(frozen=True)
class Difference:
    """A key of the metadata that differs, or what stands for it; effect is what that does, a clause."""

    key: str
    message: str
    effect: str


@dataclass(frozen=True)
class MetadataFound:
    """differences; notes on what differs without an effect and on what the file leaves to defaults."""

    compared: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare_hyperparameters(expected: Model, actual: Model) -> MetadataFound:
    """Compare the hyperparameters of a checkpoint with those that engines read from a file."""
    one, other = expected.hyper, actual.hyper
    same_graph = _is_same_graph(one, other)
    found = [] if same_graph else [_other_architecture(one, other)]
    notes = []
    if same_graph and one.arch != other.arch:
        notes.append(f"the file calls the architecture {other.arch!r}, which is the same as {one.arch!r}")
    compared = 1
    for name, key in _keys(other):
        values = getattr(one, name), getattr(other, name)
        if name == "activation" and not same_graph:
            continue
        compared += 1
        if _are_equal(*values):
            continue
        message = f"{key} is {_shown(values[1])}, and {_shown(values[0])} in the checkpoint"
        if name in _NO_NUMBER:
            notes.append(f"{message}: {_NO_NUMBER[name]}")
        else:
            found.append(Difference(key, message, _EFFECTS.get(name, "the model has another shape")))
    return MetadataFound(compared, tuple(found), (*notes, *_defaults(actual)))


def _keys(hyper: HyperParameters) -> Iterator[tuple[str, str]]:
    """Every hyperparameter and the key that it is read from."""
    read_from = {key.field: f"{hyper.architecture.gguf_name}.{key.key}" for key in hyper.architecture.keys}
    named = {"rope_scaling": f"{hyper.architecture.gguf_name}.rope.scaling", "rope_pairs": "RoPE's pairs"}
    for field in fields(hyper):
        if field.name not in ("architecture", "n_vocab"):
            yield field.name, read_from.get(field.name) or named.get(field.name, field.name)


def _is_same_graph(one: HyperParameters, other: HyperParameters) -> bool:
    def graph(architecture: Architecture) -> tuple[Any, ...]:
        return architecture.stages, architecture.scales_embeddings, architecture.divides_queries

    return graph(one.architecture) == graph(other.architecture) and (
        one.arch == other.arch or one.activation == other.activation
    )


def _other_architecture(one: HyperParameters, other: HyperParameters) -> Difference:
    key = "general.architecture"
    message = f"{key} is {other.arch!r}, and the checkpoint is {one.arch!r}"
    if one.activation != other.activation:
        effect = f"engines compute {other.activation} where the checkpoint has {one.activation}"
    else:
        mine, theirs = ({stage.name for stage in h.architecture.stages} for h in (one, other))
        changed = ", ".join(sorted(mine ^ theirs)) or "the order of its stages"
        effect = f"engines compute another graph: {changed}"
    return Difference(key, message, effect)


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_ROUNDED)
    return bool(one == other)


def _shown(value: Any) -> str:
    if isinstance(value, RopeScaling):
        return f"{value.kind} by {value.factor:g}"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _defaults(model: Model) -> Iterator[str]:
    """What the file does not say, with the value that engines then take."""
    architecture = model.hyper.architecture
    left = [
        f"{key.key} {_shown(getattr(model.hyper, key.field))}"
        for key in architecture.keys
        if f"{architecture.gguf_name}.{key.key}" not in model.metadata
    ]
    if left:
        yield f"the file leaves to engines' defaults: {', '.join(left)}"
