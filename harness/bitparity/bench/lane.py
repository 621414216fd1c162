"""A lane of the race: an engine and the file that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitparity.engine import Engine, role_of
from bitparity.errors import BadInput
from bitparity.model.types import Model, Tensor


@dataclass(frozen=True)
class Lane:
    """label is the engine's name, with the weight format or the file's name when it runs in several lanes.

    read_from  file that tells what the model is, where only the engine can read its own
    """

    label: str
    engine: Engine
    model: Model
    read_from: Path | None = None


def make_lanes(pairs: Sequence[tuple[Engine, Model]]) -> list[Lane]:
    """One lane for each pair, in order; BadInput when an engine has two files of the same name."""
    names = [engine.name for engine, _ in pairs]
    formats = [f"{engine.name} {_format_of(model)}" for engine, model in pairs]
    files = [f"{engine.name} {model.path.stem}" for engine, model in pairs]
    lanes: list[Lane] = []
    for index, (engine, model) in enumerate(pairs):
        unique = [labels[index] for labels in (names, formats, files) if labels.count(labels[index]) == 1]
        if not unique:
            raise BadInput(f"{files[index]} would be timed twice; give the files different names")
        lanes.append(Lane(unique[0], engine, model))
    return lanes


def _format_of(model: Model) -> str:
    """The weight format of its projections, or its file's name where only its engine can read it."""
    return model.weights.layers[0]["q"].format if model.tensors else model.path.stem


def reference_of(lanes: Sequence[Lane]) -> Lane:
    """The lane that the others are compared with: the first of a reference, else the first."""
    return next((lane for lane in lanes if role_of(lane.engine) == "reference"), lanes[0])


def weight_bytes(model: Model) -> int:
    """Bytes of weights that one decoded token needs: all blocks, the head, and one row of the embedding.

    Of a file that only its engine can read it is the file's size, which is a little more.
    """
    if not model.tensors:
        return model.path.stat().st_size
    weights = model.weights
    tensors: list[Tensor | None] = [weights.head, weights.output_norm, weights.rope_factors]
    for layer in weights.layers:
        tensors += layer.values()
    row = weights.token_embd.data.nbytes // model.hyper.n_vocab
    return row + sum(tensor.data.nbytes for tensor in tensors if tensor is not None)
