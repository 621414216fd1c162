"""Hyperparameters from GGUF metadata, under the keys that the architecture's file tells.

A key that would change the numbers and is not supported here is refused by name, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from bitparity.architectures import architecture_of_file
from bitparity.architectures.gguf_keys import ACTIVATION_KEYS, ACTIVATIONS
from bitparity.architectures.graph import Activation, HyperKey
from bitparity.errors import BadInput
from bitparity.model.rope_scaling import read_rope_scaling
from bitparity.model.types import BLOCKS_A_WINDOW_PATTERN, HyperParameters, Tensor

POOLS_LAST_TOKEN = 3  # of `<arch>.pooling_type`: LLAMA_POOLING_TYPE_LAST


@dataclass(frozen=True)
class DeclaredActivation:
    """key and value in the metadata, and the activation function that the value names."""

    key: str
    value: str
    name: Activation


class _Keys:
    """Metadata under the prefix of one architecture."""

    def __init__(self, metadata: Mapping[str, Any], arch: str) -> None:
        self.metadata, self.arch = metadata, arch

    def get(self, name: str) -> Any:
        return self.metadata.get(f"{self.arch}.{name}")

    def read(self, key: HyperKey, before: Mapping[str, Any]) -> float:
        """The value of a hyperparameter; `before` are those that its default may be made from."""
        if key.default is not None and self.get(key.key) is None:
            return key.default(before)
        return self.integer(key.key) if key.number is int else self.real(key.key)

    def integer(self, name: str, default: float | None = None) -> int:
        """A positive whole number; an array stands for its value when it holds only one (n_ff a layer)."""
        value = self._needed(name, default)
        if isinstance(value, np.ndarray) and value.size and (value == value[0]).all():
            value = value[0].item()
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise BadInput(f"metadata key {self.arch}.{name} is {value!r}, not one positive whole number")
        return int(value)

    def real(self, name: str, default: float | None = None) -> float:
        value = self._needed(name, default)
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < float("inf"):
            raise BadInput(f"metadata key {self.arch}.{name} is {value!r}, not a positive number")
        return float(value)

    def _needed(self, name: str, default: float | None) -> Any:
        value = self.get(name)
        if value is None and default is None:
            raise BadInput(f"metadata key {self.arch}.{name} is missing; convert the model again")
        return default if value is None else value


def read_hyperparameters(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> HyperParameters:
    """Read them; BadInput names the key that is missing, wrong, or not supported with its value."""
    arch = metadata.get("general.architecture")
    if arch is None:
        raise BadInput("metadata key general.architecture is missing; convert the model again")
    architecture = architecture_of_file(arch, tensors)
    keys = _Keys(metadata, arch)
    _refuse_unsupported(keys)
    read: dict[str, Any] = {}
    for key in architecture.keys:
        read[key.field] = keys.read(key, read)
    if keys.get("pooling_type") == POOLS_LAST_TOKEN:
        architecture = architecture.with_pooling()
    declared = declared_activation(metadata, arch)
    hyper = HyperParameters(
        architecture=architecture,
        n_vocab=_n_vocab(keys, read["n_embd"], tensors.get("token_embd.weight")),
        rope_pairs=architecture.rope_pairs,
        activation=architecture.activation if declared is None else declared.name,
        rope_scaling=read_rope_scaling(keys.get, arch, read["context_length"]),
        **read,
    )
    _check(hyper, keys)
    return hyper


def declared_activation(metadata: Mapping[str, Any], arch: str) -> DeclaredActivation | None:
    """The activation function that a file declares, which goes before the architecture's own; None if none.

    Raises BadInput for one that is not supported.
    """
    for name in ACTIVATION_KEYS:
        key = f"{arch}.{name}"
        value = metadata.get(key)
        if value is not None and value not in ACTIVATIONS:
            raise BadInput(f"metadata key {key} is {value!r}; supported are {', '.join(ACTIVATIONS)}")
        if value is not None:
            return DeclaredActivation(key, value, ACTIVATIONS[value])
    return None


def _n_vocab(keys: _Keys, n_embd: int, token_embd: Tensor | None) -> int:
    """The architecture's key, else the number of tokens, else the embedding's axis that is not n_embd."""
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if keys.get("vocab_size") is not None:
        return keys.integer("vocab_size")
    if tokens is not None:
        return len(tokens)
    if token_embd is None or len(token_embd.shape) != 2:
        raise BadInput("the vocabulary's size is in no metadata key and there is no tensor token_embd.weight")
    rows, cols = token_embd.shape
    return rows if cols == n_embd else cols


def _refuse_unsupported(keys: _Keys) -> None:
    pattern = keys.get("attention.sliding_window_pattern")
    if pattern not in (None, BLOCKS_A_WINDOW_PATTERN):
        raise BadInput(
            f"metadata key {keys.arch}.attention.sliding_window_pattern is {pattern!r}; "
            f"only {BLOCKS_A_WINDOW_PATTERN} is supported"
        )
    if keys.get("final_logit_softcapping"):
        raise BadInput(f"metadata key {keys.arch}.final_logit_softcapping is not supported")
    if keys.get("expert_count"):
        raise BadInput(
            f"metadata key {keys.arch}.expert_count is {keys.get('expert_count')}; experts are not supported"
        )


def _check(hyper: HyperParameters, keys: _Keys) -> None:
    if keys.get("attention.value_length") not in (None, hyper.head_dim):
        raise BadInput(
            f"metadata key {keys.arch}.attention.value_length is not the key length {hyper.head_dim}"
        )
    if keys.get("attention.key_length") is None and hyper.n_embd % hyper.n_head:
        raise BadInput(f"{hyper.n_head} heads do not divide the width {hyper.n_embd}")
    if hyper.n_head % hyper.n_head_kv:
        raise BadInput(f"{hyper.n_head_kv} KV heads do not divide the {hyper.n_head} heads")
    if hyper.rope_dim % 2 or hyper.rope_dim > hyper.head_dim:
        raise BadInput(
            f"{hyper.rope_dim} rotated dimensions are odd or more than the head's {hyper.head_dim}"
        )
