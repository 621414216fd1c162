"""A definition that is off by float32 roundings, in arithmetics that round the output of every stage.

There every stage has ties of its own, and a norm that is moved by float32 steps, as noise/perturb.py does it,
is rounded back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitparity.noise.perturb import move
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles

STEPS = 2  # of 0.9e-7 on average; the stage that rounds worst, RoPE, rounds by 1.7e-7


class Moved(Definition):
    """Moves what every stage gives before it is rounded."""

    rng: np.random.Generator

    @classmethod
    def make(cls, sound: Definition, seed: int) -> Moved:
        """The same definition, moved in a way of which there is one for every seed."""
        moved = cls(sound.hyper, sound.weights, sound.arithmetic)
        moved.rng = np.random.default_rng(seed)
        return moved

    def compute(self, name: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        unrounded = Definition(self.hyper, self.weights, self.arithmetic.having(stages="f32"))
        exact = unrounded.compute(name, place, inputs).astype(np.float32)
        return ops.round_to(move(exact, self.rng, STEPS).astype(np.float64), self.arithmetic.stages)
