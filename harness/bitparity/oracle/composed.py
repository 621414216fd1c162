"""A definition of which some stages are computed by another one: an engine that is wrong in places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles


class Composed(Definition):
    """Sound but at some stages.

    changed  what computes a stage instead, by (layer, stage)
    """

    changed: Mapping[tuple[int, str], Definition]

    @classmethod
    def make(cls, sound: Definition, changed: Mapping[tuple[int, str], Definition]) -> Definition:
        """The sound definition itself where nothing is changed."""
        if not changed:
            return sound
        definition = cls(sound.hyper, sound.weights, sound.arithmetic)
        definition.changed = changed
        return definition

    def compute(self, name: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        instead = self.changed.get((place.layer, name))
        return (
            super().compute(name, place, inputs) if instead is None else instead.compute(name, place, inputs)
        )
