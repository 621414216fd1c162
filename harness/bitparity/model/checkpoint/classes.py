"""The kinds of checkpoints that are read: a row for each class of `architectures` in config.json.

A new one is a row.  Sources: configuration_*.py and modeling_*.py of transformers 5 for defaults and names;
1bitLLM's configuration_bitnet.py for BitnetForCausalLM; docs/bitnet-embeddings-i2s-guide.md of bitnet.cpp
for norms before projections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bitparity.architectures.graph import Activation
from bitparity.errors import BadInput

# What the modules of a block are called, by the role of their weight; several names are those of several
# classes.
_ATTENTION: dict[str, tuple[str, ...]] = {
    "attn_norm": ("input_layernorm",),
    "q": ("self_attn.q_proj",),
    "k": ("self_attn.k_proj",),
    "v": ("self_attn.v_proj",),
    "attn_out": ("self_attn.o_proj",),
}
_FEED_FORWARD: dict[str, tuple[str, ...]] = {
    "gate": ("mlp.gate_proj",),
    "up": ("mlp.up_proj",),
    "down": ("mlp.down_proj",),
}
_LLAMA_MODULES = {**_ATTENTION, "ffn_norm": ("post_attention_layernorm",), **_FEED_FORWARD}
_BITNET_MODULES = {
    **_LLAMA_MODULES,
    "attn_sub_norm": ("self_attn.attn_sub_norm", "self_attn.inner_attn_ln"),
    "ffn_sub_norm": ("mlp.ffn_sub_norm", "mlp.ffn_layernorm"),
}
_HEAD_NORMS = {"q_norm": ("self_attn.q_norm",), "k_norm": ("self_attn.k_norm",)}
_INPUT_NORMS = {
    "q_in_norm": ("self_attn.q_proj.norm",),
    "k_in_norm": ("self_attn.k_proj.norm",),
    "v_in_norm": ("self_attn.v_proj.norm",),
    "attn_sub_norm": ("self_attn.o_proj.norm",),
    "ffn_gate_in_norm": ("mlp.gate_proj.norm",),
    "ffn_up_in_norm": ("mlp.up_proj.norm",),
    "ffn_sub_norm": ("mlp.down_proj.norm",),
}
_GEMMA3_MODULES = {
    **_ATTENTION,
    **_FEED_FORWARD,
    **_HEAD_NORMS,
    **_INPUT_NORMS,
    "attn_post_norm": ("post_attention_layernorm",),
    "ffn_norm": ("pre_feedforward_layernorm",),
    "ffn_post_norm": ("post_feedforward_layernorm",),
}


@dataclass(frozen=True)
class CheckpointClass:
    """A kind of checkpoint.

    names           in `architectures` of config.json
    architectures   `general.architecture` of the GGUF file, by the activation function of the checkpoint
    modules         role of a block's weight -> what its module is called within the block
    defaults        what the class takes for keys that config.json lacks
    quantizes       whether the class quantises its weights in every forward pass, whatever config.json says
    one_more        roles of norms whose weight is stored less one; output_norm among them
    has_head        whether it computes logits; an embedding model does not
    """

    names: tuple[str, ...]
    architectures: Mapping[Activation, str]
    modules: Mapping[str, tuple[str, ...]]
    defaults: Mapping[str, Any]
    quantizes: bool = False
    one_more: frozenset[str] = field(default_factory=frozenset)
    has_head: bool = True


_LLAMA_DEFAULTS: dict[str, Any] = {
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}  # fmt: skip
_QWEN3 = CheckpointClass(
    ("Qwen3ForCausalLM",),
    {"silu": "qwen3"},
    {**_LLAMA_MODULES, **_HEAD_NORMS, **_INPUT_NORMS},
    {**_LLAMA_DEFAULTS, "head_dim": 128, "max_position_embeddings": 32_768},
)
_GEMMA3 = CheckpointClass(
    ("Gemma3ForCausalLM",),
    {"gelu": "gemma3"},
    _GEMMA3_MODULES,
    {
        "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0, "head_dim": 256, "max_position_embeddings": 131_072,
        "query_pre_attn_scalar": 256, "sliding_window": 4096, "tie_word_embeddings": True,
    },
    one_more=frozenset(
        {"attn_norm", "q_norm", "k_norm", "attn_post_norm", "ffn_norm", "ffn_post_norm", "output_norm"}
    ),
)  # fmt: skip


CLASSES = (
    CheckpointClass(
        ("BitNetForCausalLM",),
        {"relu2": "bitnet-b1.58", "silu": "bitnet"},
        _BITNET_MODULES,
        {**_LLAMA_DEFAULTS, "hidden_act": "relu2", "rms_norm_eps": 1e-5, "rope_theta": 500_000.0},
    ),
    CheckpointClass(
        ("BitnetForCausalLM",),
        {"silu": "bitnet", "relu2": "bitnet-b1.58"},
        _BITNET_MODULES,
        _LLAMA_DEFAULTS,
        quantizes=True,
    ),
    CheckpointClass(("LlamaForCausalLM",), {"silu": "llama"}, _LLAMA_MODULES, _LLAMA_DEFAULTS),
    _QWEN3,
    replace(_QWEN3, names=("Qwen3Model",), has_head=False),
    _GEMMA3,
    replace(_GEMMA3, names=("Gemma3TextModel",), has_head=False),
)
_BY_NAME = {name: row for row in CLASSES for name in row.names}


def class_of(config: Mapping[str, Any]) -> CheckpointClass:
    """The row of a config.json; BadInput when it names no class, or none that is known."""
    named = config.get("architectures")
    if not isinstance(named, list) or len(named) != 1 or named[0] not in _BY_NAME:
        known = ", ".join(_BY_NAME)
        raise BadInput(f"architectures in config.json is {named!r}, which is not one of {known}")
    return _BY_NAME[named[0]]
