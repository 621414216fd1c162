"""A model in another weight format, or a checkpoint as a GGUF file, made once and kept in the cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from blake3 import blake3

import bitparity
from bitparity.model import open_model
from bitparity.model.checkpoint.convert import convert_checkpoint
from bitparity.model.convert import convert
from bitparity.model.gguf_shards import files_of
from bitparity.output import make_folder
from bitparity.settings import read_settings

_PACKAGE = Path(bitparity.__file__).parent
_DECIDING = ("architectures", "formats", "model", "tokenizer")  # folders whose code decides what is written


def in_weight_format(source: Path, weight_format: str) -> Path:
    """Path of a GGUF file of the model with its projections in this format: the source where they all are.

    A conversion is kept under a name that changes with the model and with the code that converts it; it
    appears there complete or not at all, even when another process converts at the same time.
    Raises BadInput as `convert` and `convert_checkpoint` do.
    """
    if _has_it(source, weight_format):
        return source
    folder = read_settings().cache_dir / "models"
    name = source.resolve().name if source.is_dir() else source.stem
    target = folder / f"{name}-{weight_format}-{_fingerprint(source)}.gguf"
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
    code = [path for folder in _DECIDING for path in sorted((_PACKAGE / folder).rglob("*.py"))]
    digest = blake3(max_threads=blake3.AUTO)
    for path in (*files_of(source), *code):
        digest.update_mmap(path)
    return digest.hexdigest(length=8)


def _convert(source: Path, target: Path, weight_format: str) -> None:
    make_folder(target.parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.stem}-") as folder:
        unfinished = Path(folder) / target.name
        write = convert_checkpoint if source.is_dir() else convert
        write(source, unfinished, weight_format)
        os.replace(unfinished, target)
