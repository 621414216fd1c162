"""What the metadata declare, against what the tensors are and against what anything here computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isclose, sqrt
from typing import Any

from bitparity.architectures import ARCHITECTURES
from bitparity.formats import GUESSED, ROWS
from bitparity.model.checks.finding import Finding, Severity
from bitparity.model.hyperparameters import POOLS_LAST_TOKEN, declared_activation
from bitparity.model.types import HyperParameters, Model

# key -> what it would change, and whether a value leaves everything as it is.
# Sources: llama-arch.cpp of llama.cpp for the keys, its graphs for what they do.
_Neutral = Callable[[Any, HyperParameters], bool]
_CHANGES_THE_FUNCTION: dict[str, tuple[str, _Neutral]] = {
    "attention.causal": ("which positions see which", lambda value, hyper: bool(value)),
    "attention.sliding_window": (
        "how far positions see",
        lambda value, hyper: not value or value >= hyper.context_length,
    ),
    "attention.scale": (
        "the scale of attention scores",
        lambda value, hyper: not value or isclose(value, 1 / sqrt(hyper.query_width), rel_tol=1e-6),
    ),
    "attention.clamp_kqv": ("Q, K and V", lambda value, hyper: not value),
    "attention.max_alibi_bias": ("attention scores", lambda value, hyper: not value),
    "attn_logit_softcapping": ("attention scores", lambda value, hyper: not value),
    "final_logit_softcapping": ("logits", lambda value, hyper: not value),
    "logit_scale": ("logits", lambda value, hyper: value in (0, 1)),
    "embedding_scale": ("embeddings", lambda value, hyper: value in (0, 1)),
    "residual_scale": ("residual sums", lambda value, hyper: value in (0, 1)),
    "use_parallel_residual": ("the residual stream", lambda value, hyper: not value),
    "pooling_type": (
        "the output, which would be pooled",
        lambda value, hyper: value in (0, POOLS_LAST_TOKEN),
    ),
    "nextn_predict_layers": ("the last layers", lambda value, hyper: not value),
}


def activation(model: Model) -> Iterator[Finding]:
    """An activation function that is not the one that engines take for the architecture."""
    found = declared_activation(model.metadata, model.hyper.architecture.gguf_name)
    own = model.hyper.architecture.activation
    engines = tuple(model.hyper.architecture.nodes)
    if found is None or found.name == own or not engines:
        return
    yield Finding(
        Severity.WARNING,
        found.key,
        f"{found.key} is {found.value!r}: the file declares {found.name}, {' and '.join(engines)} run {own} "
        f"for the architecture {model.hyper.arch!r} whatever it says; native and the oracle compute what is "
        "declared",
        engines,
    )


def function_keys(model: Model) -> Iterator[Finding]:
    """Keys that would change the function, with values that nothing here computes."""
    arch, known = model.hyper.architecture.gguf_name, {key.key for key in model.hyper.architecture.keys}
    for name, (what, is_neutral) in _CHANGES_THE_FUNCTION.items():
        value = model.metadata.get(f"{arch}.{name}")
        if name in known or value is None or is_neutral(value, model.hyper):
            continue
        yield Finding(
            Severity.STOP,
            f"{arch}.{name}",
            f"{arch}.{name} is {value!r}, which would change {what}: neither native nor the oracle computes "
            "it, so that agreement would be agreement on another function",
        )


def foreign_keys(model: Model) -> Iterator[Finding]:
    """Hyperparameters under the name of another architecture, which nothing reads."""
    own = model.hyper.architecture.gguf_name
    prefixes = [f"{arch}." for arch in {a.gguf_name for a in ARCHITECTURES.values()} - {own}]
    for key in model.metadata:
        if any(key.startswith(prefix) for prefix in prefixes):
            yield Finding(
                Severity.WARNING,
                key,
                f"{key} is a key of another architecture than {model.hyper.arch!r}, which the file names: "
                "nothing reads it",
            )


def file_type(model: Model) -> Iterator[Finding]:
    """A general.file_type that names a format which no tensor has."""
    key = "general.file_type"
    value = model.metadata.get(key)
    named = [name for name, row in ROWS.items() if row.file_type == value != GUESSED]
    if named and not set(named) & set(model.format_counts()):
        yield Finding(
            Severity.NOTE,
            key,
            f"{key} is {value}, {named[0]}, and no tensor is in it: no engine heeds the key",
        )
