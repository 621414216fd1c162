"""A model that differs by rounding only: every norm weight moved by a few float32 steps.

Two correct engines differ because they round differently at every stage.  One engine run on a model and on
its perturbed copy differs for the same reason and by as much, at the inputs of all quantised matmuls; so this
measures how far rounding alone carries the logits, without a second engine and without trusting one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from bitparity.engine import Floats
from bitparity.errors import BadInput
from bitparity.model.types import Model

# A block has four norms that are perturbed and about twenty stages that round: sqrt(20 / 4) = 2.2 times.  One
# step is 0.9e-7 of a value on average, the worst stage rounds by 1.7e-7 (RoPE): 1.9 times.  2.2 x 1.9 = 4.2.
STEPS = 4


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


def move(values: Floats, rng: np.random.Generator) -> Floats:
    """Move normal elements STEPS away from zero or towards it with equal chance; others stay as they are."""
    away = (rng.integers(0, 2, values.shape, np.int32) * 2 - 1) * STEPS
    moved = (np.ascontiguousarray(values).view(np.int32) + away).view(np.float32)
    smallest = 2 * np.finfo(np.float32).tiny  # a step below may not reach zero, nor the other sign
    usual = np.isfinite(values) & np.isfinite(moved) & (np.abs(values) > smallest)
    return np.where(usual, moved, values).astype(np.float32)
