"""The synthetic models of the native tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitparity.model.synthetic import ModelSpec, make_model

ModelOf = Callable[..., Path]  # takes the fields of ModelSpec


def model_maker(folder: Path) -> ModelOf:
    """A function that makes the model with the given fields of ModelSpec, each only once."""
    made: dict[ModelSpec, Path] = {}

    def make(**fields: Any) -> Path:
        spec = ModelSpec(**fields)
        if spec not in made:
            made[spec] = folder / f"{len(made)}.gguf"
            make_model(made[spec], spec)
        return made[spec]

    return make
