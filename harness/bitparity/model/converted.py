"""A model in another weight format, converted once and kept in the cache folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from blake3 import blake3

import bitparity
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.output import make_folder
from bitparity.settings import read_settings

_PACKAGE = Path(bitparity.__file__).parent


def in_weight_format(source: Path, weight_format: str) -> Path:
    """Path of the model with its projections in this format: the source itself where they all are.

    A conversion is kept under a name that changes with the model and with the code that converts it; it
    appears there complete or not at all, even when another process converts at the same time.
    Raises BadInput as `convert` does.
    """
    if _has_it(source, weight_format):
        return source
    folder = read_settings().cache_dir / "models"
    target = folder / f"{source.stem}-{weight_format}-{_fingerprint(source)}.gguf"
    if not target.exists():
        _convert(source, target, weight_format)
    return target


def _has_it(source: Path, weight_format: str) -> bool:
    model = open_model(source)
    vocabulary = (model.weights.token_embd.name, model.weights.head.name)
    projections = [t for t in model.tensors.values() if len(t.shape) == 2 and t.name not in vocabulary]
    return all(tensor.format == weight_format for tensor in projections)


def _fingerprint(source: Path) -> str:
    """Hash of the model and of the Python sources that decide what its conversion looks like."""
    code = [path for folder in ("formats", "model") for path in sorted((_PACKAGE / folder).glob("*.py"))]
    digest = blake3(max_threads=blake3.AUTO).update_mmap(source)
    for path in code:
        digest.update(path.read_bytes())
    return digest.hexdigest(length=8)


def _convert(source: Path, target: Path, weight_format: str) -> None:
    make_folder(target.parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.stem}-") as folder:
        unfinished = Path(folder) / target.name
        convert(source, unfinished, weight_format)
        os.replace(unfinished, target)
