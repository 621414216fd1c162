"""Checkpoints as Hugging Face's transformers saves them: a folder with config.json and safetensors files.

A checkpoint is read as if it were a GGUF file: hyperparameters under the keys of its metadata, tensors under
its names and in its row order, so that everything that takes a model takes a checkpoint.  Ternary weights
have the format CODES; norms are widened to F32; all else lies as it is stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitparity.errors import BadInput
from bitparity.model.checkpoint.config import FILE, Config, read_config
from bitparity.model.checkpoint.tensors import read_tensors
from bitparity.model.checkpoint.vocabulary import open_tokenizer, read_vocabulary
from bitparity.model.hyperparameters import read_hyperparameters
from bitparity.model.types import Model
from bitparity.model.weights import map_weights

__all__ = ["checkpoint_vocabulary", "is_checkpoint", "open_checkpoint"]


def is_checkpoint(path: Path) -> bool:
    """Whether the path is a folder with a config.json."""
    return (path / FILE).is_file()


def open_checkpoint(path: Path) -> Model:
    """Open a checkpoint folder, memory-mapped; projections are decoded when they are asked for.

    Raises BadInput (ShapeError for a shape); the sentence does not name the folder.
    """
    if not is_checkpoint(path):
        raise BadInput(f"is a folder without a {FILE}, so it is no checkpoint")
    config = read_config(path)
    tensors, notes = read_tensors(path, config)
    metadata = dict(config.metadata)
    hyper = read_hyperparameters(metadata, tensors)
    try:
        vocabulary, more = checkpoint_vocabulary(path, config)
    except BadInput as error:
        vocabulary, more = {}, (f"texts cannot be tokenized: {error}",)
    weights = map_weights(hyper, tensors)
    return Model(path, metadata | vocabulary, tensors, hyper, weights, (*notes, *more))


def checkpoint_vocabulary(path: Path, config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The vocabulary as metadata of a GGUF file, and what such a file cannot say of it, a sentence each.

    Raises BadInput when the folder has no tokenizer, or one that engines do not have.
    """
    source = open_tokenizer(path, int(config.values["vocab_size"]))
    return read_vocabulary(source, config.values)
