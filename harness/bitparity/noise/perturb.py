"""A run that differs by rounding only: what every norm gives is moved by a few float32 steps.

Two correct engines differ because they round differently at every stage.  One engine run as it is and so
perturbed differs from itself for the same reason and by as much, at the inputs of all quantised matmuls; so
this measures how far rounding alone carries the logits, without a second engine and without trusting one.

An engine that is `Perturbable` (engine.py) moves the outputs or the weights of its norms itself, in memory.
Any other is given a copy of the model's file whose norm weights are moved.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitparity.engine import Engine, Floats, Perturbable
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.types import Model, Tensor

# A block has four norms that are perturbed and about twenty stages that round: sqrt(20 / 4) = 2.2 times.  One
# step is 0.9e-7 of a value on average, the worst stage rounds by 1.7e-7 (RoPE): 1.9 times.  2.2 x 1.9 = 4.2.
STEPS = 4
MOST_RUNS = 8  # perturbed runs that may be needed to see a flip: one of few positions may have none


@contextmanager
def perturbed(engine: Engine, model: Model, seed: int) -> Iterator[tuple[Engine, Model]]:
    """What to open for a perturbed run; a copy of the file, if one is needed, is there while active."""
    if isinstance(engine, Perturbable):
        yield engine.perturbed(seed), model
        return
    with tempfile.TemporaryDirectory(prefix="bitparity-") as folder:
        path = Path(folder) / "perturbed.gguf"
        write_perturbed(model, path, seed)
        yield engine, open_model(path)


def with_norms_moved(model: Model, seed: int) -> Model:
    """The same model with its norm weights moved, in memory and as F32."""
    rng = np.random.default_rng(seed)

    def moved(tensor: Tensor) -> Tensor:
        if len(tensor.shape) != 1:
            return tensor
        return tensor.holding(move(tensor.values(), rng).view(np.uint8), format="F32")

    weights = model.weights
    layers = tuple({role: moved(tensor) for role, tensor in layer.items()} for layer in weights.layers)
    return replace(model, weights=replace(weights, output_norm=moved(weights.output_norm), layers=layers))


def write_perturbed(model: Model, target: Path, seed: int) -> int:
    """Copy a model's file and move its F32 vectors' elements STEPS float32 values up or down, at random.

    returns  the number of elements moved
    Raises BadInput when there is none, so that a perturbed copy never is an equal one.
    """
    vectors = [t for t in model.tensors.values() if t.format == "F32" and len(t.shape) == 1]
    rng = np.random.default_rng(seed)
    shutil.copyfile(model.path, target)
    n_moved = 0
    with target.open("r+b") as file:
        for tensor in vectors:
            values = tensor.values()
            moved = move(values, rng)
            n_moved += int(np.count_nonzero(moved != values))
            file.seek(tensor.offset)
            file.write(moved.tobytes())
    if not n_moved:
        raise BadInput(f"{model.path}: has no F32 norm weights to perturb")
    return n_moved


def move(values: Floats, rng: np.random.Generator, steps: int = STEPS) -> Floats:
    """Move normal elements so many float32 steps away from zero or towards it; others stay as they are."""
    away = (rng.integers(0, 2, values.shape, np.int32) * 2 - 1) * steps
    moved = (np.ascontiguousarray(values).view(np.int32) + away).view(np.float32)
    smallest = 2 * np.finfo(np.float32).tiny  # a step below may not reach zero, nor the other sign
    usual = np.isfinite(values) & np.isfinite(moved) & (np.abs(values) > smallest)
    return np.where(usual, moved, values).astype(np.float32)
