"""What the harness says of a model on behalf of an engine that says nothing of it."""

from __future__ import annotations

from pathlib import Path

from bitparity.engine import Fingerprint, ModelInfo
from bitparity.model import open_model


def model_facts(path: Path, context: int, fingerprint: Fingerprint) -> ModelInfo:
    """Read from the GGUF file; raises BadInput when it is none."""
    return ModelInfo.of(open_model(path), context, fingerprint)
