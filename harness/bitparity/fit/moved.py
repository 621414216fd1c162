"""A definition whose every stage is off by float32 roundings, for arithmetics that round every stage.

There every stage has ties of its own, of which moved norms (noise/perturb.py) show none but those of norms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitparity.noise.perturb import move
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles

# In variance, two steps of each of about twenty stages are what noise/perturb.py takes for the rounding of a
# block: four steps of each of four norms.
STEPS = 2


class Moved(Definition):
    """Moves what every stage gives before it is rounded."""

    rounded_to: str
    rng: np.random.Generator

    @classmethod
    def make(cls, sound: Definition, seed: int) -> Moved:
        """The same definition, moved in a way of which there is one for every seed."""
        moved = cls(sound.hyper, sound.weights, sound.arithmetic.having(stages="f32"))
        moved.rounded_to, moved.rng = sound.arithmetic.stages, np.random.default_rng(seed)
        return moved

    def compute(self, name: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        exact = super().compute(name, place, inputs).astype(np.float32)
        return ops.round_to(move(exact, self.rng, STEPS).astype(np.float64), self.rounded_to)
