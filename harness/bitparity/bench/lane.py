"""A lane of the race: an engine and the file that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from bitparity.engine import Engine
from bitparity.errors import BadInput
from bitparity.model.types import Model, Tensor

OURS = "native"  # every other engine can be a reference


@dataclass(frozen=True)
class Lane:
    """label is the engine's name, with the file's when the engine runs in several lanes."""

    label: str
    engine: Engine
    model: Model


def make_lanes(pairs: Sequence[tuple[Engine, Model]]) -> list[Lane]:
    """One lane a pair, in order; BadInput when two of one engine run files of one name."""
    names = [engine.name for engine, _ in pairs]
    lanes: list[Lane] = []
    for engine, model in pairs:
        label = engine.name if names.count(engine.name) == 1 else f"{engine.name} {model.path.stem}"
        if label in (lane.label for lane in lanes):
            raise BadInput(f"{label} would be timed twice; give the files different names")
        lanes.append(Lane(label, engine, model))
    return lanes


def reference_of(lanes: Sequence[Lane]) -> Lane:
    """The lane that the others are compared with: the first that is not our own engine, else the first."""
    return next((lane for lane in lanes if lane.engine.name != OURS), lanes[0])


def weight_bytes(model: Model) -> int:
    """Bytes of weights that one decoded token needs: all blocks, the head, and one row of the embedding."""
    weights = model.weights
    tensors: list[Tensor | None] = [weights.head, weights.output_norm, weights.rope_factors]
    for layer in weights.layers:
        tensors += [getattr(layer, field.name) for field in fields(layer)]
    row = weights.token_embd.data.nbytes // model.hyper.n_vocab
    return row + sum(tensor.data.nbytes for tensor in tensors if tensor is not None)
