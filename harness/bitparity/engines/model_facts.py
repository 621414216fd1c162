"""What the harness says of a model on behalf of an engine that says nothing of it."""

from __future__ import annotations

from pathlib import Path

from bitparity.engine import Fingerprint, ModelInfo
from bitparity.model import open_model
from bitparity.model.types import Model


def model_facts(path: Path, known: Model | None, context: int, fingerprint: Fingerprint) -> ModelInfo:
    """Of the model that an engine was told of (bitparity.engine.Informed), else read from the file.

    Raises BadInput when it has to be read and is no GGUF file.
    """
    return ModelInfo.of(known or open_model(path), context, fingerprint)
