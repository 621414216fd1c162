"""Hyperparameters as transformers' configurations have them."""

from __future__ import annotations

from typing import Any

from bitparity.errors import BadInput
from bitparity.model.types import HyperParameters
from bitparity_reference.transformers.classes import ModelClass, class_of

_ACTIVATIONS = {"silu": "silu", "relu2": "relu2", "gelu": "gelu_pytorch_tanh"}


def configuration_of(hyper: HyperParameters, *, head_is_tied: bool) -> dict[str, Any]:
    """Arguments of the configuration's class.

    Raises BadInput for what the class cannot be told.
    """
    kind = class_of(hyper.architecture)
    _refuse(hyper, kind)
    given = {
        "vocab_size": hyper.n_vocab,
        "hidden_size": hyper.n_embd,
        "intermediate_size": hyper.n_ff,
        "num_hidden_layers": hyper.n_layer,
        "num_attention_heads": hyper.n_head,
        "num_key_value_heads": hyper.n_head_kv,
        "head_dim": hyper.head_dim,
        kind.activation: _ACTIVATIONS[hyper.activation],
        "max_position_embeddings": hyper.context_length,
        "rms_norm_eps": hyper.norm_eps,
        "rope_parameters": _rope(hyper),
        "tie_word_embeddings": head_is_tied,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return given | (_windows(hyper) if kind.has_windows else {})


def _rope(hyper: HyperParameters) -> dict[str, Any]:
    scaling = hyper.rope_scaling
    parameters: dict[str, Any] = {"rope_type": "default", "rope_theta": hyper.rope_base}
    if scaling is not None:
        parameters |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling is not None and scaling.kind == "yarn":
        parameters["original_max_position_embeddings"] = scaling.original_context
    return parameters


def _windows(hyper: HyperParameters) -> dict[str, Any]:
    kinds = ("full_attention", "sliding_attention")
    base = hyper.windowed_rope_base or hyper.rope_base
    return {
        "layer_types": [kinds[hyper.is_windowed(layer)] for layer in range(hyper.n_layer)],
        "sliding_window": hyper.sliding_window or hyper.context_length,
        "query_pre_attn_scalar": hyper.head_dim,
        "rope_parameters": {
            "full_attention": _rope(hyper),
            "sliding_attention": {"rope_type": "default", "rope_theta": base},
        },
    }


def _refuse(hyper: HyperParameters, kind: ModelClass) -> None:
    if hyper.rope_dim != hyper.head_dim:
        raise BadInput(
            f"{kind.name} rotates whole heads, and the file says {hyper.rope_dim} of {hyper.head_dim} "
            "dimensions"
        )
    if "attn_sub_norm" in kind.modules and hyper.n_head * hyper.head_dim != hyper.n_embd:
        raise BadInput(
            f"{kind.name} norms as many values after attention as the model is wide, {hyper.n_embd}, and the "
            f"heads have {hyper.n_head * hyper.head_dim}"
        )
    if hyper.n_embd % hyper.n_head:
        raise BadInput(f"{kind.name} asks for a width that its heads divide: {hyper.n_head}, {hyper.n_embd}")
