"""What a run could not have seen: how large a fault its limit lets pass, on this model and these tokens.

The fault is the simplest that there is, a scale that is off in one tensor.  The oracle plants it in every
projection of the middle block, in growing sizes, and says how far the logits of the run's first positions
move.  What moves them by less than the largest difference that passes would not have been seen.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bitparity.compare.sample import sample_columns
from bitparity.fit.lockstep import relative_l2
from bitparity.fit.sample import with_head_rows
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.composed import Composed
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition
from bitparity.oracle.mistakes.row import instead
from bitparity.oracle.ops import Doubles
from bitparity.processors import one_blas_thread

POSITIONS = 8  # of a run that are computed
SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # by how much a scale is off


@dataclass(frozen=True)
class Resolution:
    """What would not have shown.

    limit    largest relative L2 of a position that passes
    unseen   for each stage with a scale the largest error of it that would not have shown; 0 for none
    layer    in which they were planted
    """

    limit: float
    layer: int
    unseen: tuple[tuple[str, float], ...]

    @property
    def sentence(self) -> str:
        """The largest fault that would not have shown, and where."""
        hidden = [stage for stage, size in self.unseen if size >= SIZES[-1]]
        shown = [(size, stage) for stage, size in self.unseen if size < SIZES[-1]]
        never = f"; in {', '.join(hidden)} none would show, for a norm follows" if hidden else ""
        if not shown:
            return f"no scale of one tensor would show, however far it is off{never}"
        size, stage = max(shown)
        off = f"off by {size:.1%} in one tensor".replace(".0%", "%")
        if not size:
            return f"a scale {SIZES[0]:.1%} off in one tensor would show{never}"
        return f"a scale {off} (layer {self.layer}, {stage}) would not show in this run{never}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "sentence": self.sentence,
            "limit": self.limit,
            "layer": self.layer,
            "unseen": dict(self.unseen),
        }


@one_blas_thread()
def find_resolution(model: Model, arithmetic: Arithmetic, tokens: Sequence[int], limit: float) -> Resolution:
    """What a run of these tokens would not have seen at this limit.

    limit  relative L2 up to which a position passes
    """
    layer, first = model.hyper.n_layer // 2, list(tokens[:POSITIONS])
    sound = Definition.of(with_head_rows(model, sample_columns(model.hyper.n_vocab)), arithmetic)
    expected = _logits(sound, first)
    stages = [s.name for s in model.hyper.architecture.block if s.kind == "projection"]
    unseen = []
    for stage in stages:
        moves = partial(_moves, sound, first, expected, (layer, stage))
        passed = bisect(SIZES, limit, key=moves)  # what is farther off moves them more
        unseen.append((stage, SIZES[passed - 1] if passed else 0.0))
    return Resolution(limit, layer, tuple(unseen))


def _moves(
    sound: Definition, tokens: Sequence[int], expected: Doubles, place: tuple[int, str], size: float
) -> float:
    """How far the logits move at the position where they move most."""

    def scaled(d: Definition, stage: Any, at: Any, x: Doubles) -> Doubles:
        return (1 + size) * d.project(stage, at, x)

    faulty = Composed.make(sound, {place: instead("projection", scaled)(sound)})
    return float(np.max(relative_l2(expected, _logits(faulty, tokens))))


def _logits(definition: Definition, tokens: Sequence[int]) -> Doubles:
    logits: Doubles = Decoder(definition).forward(tokens).astype(np.float64)
    return logits
