"""A model object of transformers, made of a GGUF file; imports torch and transformers, so for a worker."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn
from transformers.integrations.bitnet import AutoBitLinear, BitLinear

from bitparity.model.types import HyperParameters, Model
from bitparity_reference.transformers import attention
from bitparity_reference.transformers.classes import class_of, has_norms_in_projections
from bitparity_reference.transformers.configuration import configuration_of
from bitparity_reference.transformers.state import state_of


def build_model(model: Model) -> Any:
    """The model in float32, on the CPU.

    Its attention function has to be registered already (attention.py).
    Raises BadInput for a model that the class cannot be.
    """
    hyper, kind = model.hyper, class_of(model.hyper.architecture)
    state = state_of(model)
    given = configuration_of(
        hyper, head_is_tied=model.weights.head_is_tied and not state.ternary & {"lm_head"}
    )
    configuration = getattr(transformers, kind.configuration)(**given)
    configuration._attn_implementation = attention.NAME
    with torch.device("meta"):
        built = getattr(transformers, kind.name)(configuration)
    for name in state.ternary:
        built.set_submodule(name, _projection(built.get_submodule(name), hyper))
    values = {name: torch.from_numpy(array) for name, array in state.values.items()}
    lacking = built.load_state_dict(values, strict=False, assign=True)
    built.tie_weights()
    _make_what_no_file_has(built, configuration)
    allowed = {"lm_head.weight"} if configuration.tie_word_embeddings else set()
    assert not lacking.unexpected_keys, lacking.unexpected_keys
    assert set(lacking.missing_keys) <= allowed, lacking.missing_keys
    if model.weights.rope_factors is not None:
        built.model.rotary_emb.inv_freq /= torch.from_numpy(model.weights.rope_factors.values())
    return built.eval().requires_grad_(False)


def has_quantising_projections(built: Any) -> bool:
    """Whether projections make int8 of their input."""
    return any(isinstance(module, AutoBitLinear | BitLinear) for module in built.modules())


def _projection(plain: nn.Linear, hyper: HyperParameters) -> AutoBitLinear:
    """A projection that quantises its input, in the place of a plain one; its weights are still to come."""
    return AutoBitLinear(
        plain.in_features,
        plain.out_features,
        bias=False,
        device="meta",
        dtype=plain.weight.dtype,
        use_rms_norm=has_norms_in_projections(hyper.architecture),
        rms_norm_eps=hyper.norm_eps,
    )


def _make_what_no_file_has(built: Any, configuration: Any) -> None:
    """Frequencies of RoPE and the like, which modules make when they are made on a real device."""
    inner = built.model
    inner.rotary_emb = type(inner.rotary_emb)(configuration)
    embedding = inner.embed_tokens
    if hasattr(embedding, "scalar_embed_scale"):
        embedding.embed_scale = torch.tensor(embedding.scalar_embed_scale)
