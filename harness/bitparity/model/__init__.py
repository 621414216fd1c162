"""Models: GGUF files and checkpoints read, hyperparameters, weight mapping, synthetic models, conversion."""

from __future__ import annotations

from pathlib import Path

from bitparity.errors import BadInput
from bitparity.formats.table_lookup import Tilings
from bitparity.model.checkpoint import open_checkpoint
from bitparity.model.gguf_file import GgufFile
from bitparity.model.hyperparameters import read_hyperparameters
from bitparity.model.types import HyperParameters, LayerWeights, Model, Tensor, Weights
from bitparity.model.weights import map_weights

__all__ = ["HyperParameters", "LayerWeights", "Model", "Tensor", "Weights", "open_model"]


def open_model(path: Path | str, *, tilings: Tilings | None = None) -> Model:
    """Open a GGUF file or a checkpoint folder, memory-mapped, hyperparameters read and weights mapped.

    tilings  of the kernels that TL1 and TL2 tensors were packed for; bitnet.cpp's presets when None

    Raises BadInput (ShapeError for a shape) in one sentence that begins with the name of the file or folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return open_checkpoint(path)
        file = GgufFile(path, tilings)
        hyper = read_hyperparameters(file.metadata, file.packed_tensors)
        weights = map_weights(hyper, file.packed_tensors)
    except BadInput as error:
        raise type(error)(f"{path.name}: {error}") from error
    return Model(path, file.metadata, file.packed_tensors, hyper, weights)
