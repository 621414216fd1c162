"""What only running a build can tell: which activation function it computes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from bitparity.engine import Session
from bitparity.errors import BitparityError
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition

_TOKENS = (3, 141, 59, 26)
_WRITTEN = {"silu": "SiLU", "relu2": "ReLU²"}
Activation = Literal["silu", "relu2"]
_FUNCTIONS: tuple[Activation, ...] = ("silu", "relu2")
_CLEAR = 0.01  # relative L2 of logits: roundings make 1e-3 of it, another function 0.1 and more


def activation_computed(arch: str, open_session: Callable[[Path], Session]) -> str:
    """The activation function of an architecture in an engine: the oracle's that its logits are nearest to.

    A model of one layer in F32 is run for it; `open_session` opens it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.gguf"
        make_model(path, ModelSpec(arch, n_layer=1, n_vocab=300, weight_format="F32", head_format="F32"))
        try:
            session = open_session(path)
            logits = session.prefill(_TOKENS)
            session.close()
        except BitparityError as error:
            return f"not known ({error})"
        model = open_model(path)
        distances = {}
        for function in _FUNCTIONS:
            defined = replace(model, hyper=replace(model.hyper, activation=function))
            expected = Decoder(Definition.of(defined)).forward(_TOKENS)
            distances[function] = float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))
        del model, defined  # the file is mapped
    nearest = min(distances, key=lambda function: distances[function])
    return _WRITTEN[nearest] if distances[nearest] < _CLEAR else "neither SiLU nor ReLU²"
