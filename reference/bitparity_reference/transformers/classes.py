"""Which class of transformers computes an architecture's graph, and in which of its modules a weight lies.

A class fits an architecture when the architecture has a weight for each of its modules.  Norms before
projections, which the class has no module for, lie inside the projections: AutoBitLinear brings them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitparity.architectures.graph import Architecture, GraphStage

LAYER = "model.layers.{}"
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "head": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_HEAD_NORMS = {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}
NORM_IN_PROJECTION = "rms_norm"


@dataclass(frozen=True)
class ModelClass:
    """A class of transformers.

    name            of the class, and of its configuration
    modules         role of a block's weight -> module inside the block
    activation      of the configuration: its key for the activation function
    norms_less_one  weights of norms are stored less 1
    norms_heads_first  norms of heads take (heads, positions, head_dim), not (positions, heads, head_dim)
    has_windows     blocks may see a window of positions only, and have a base of RoPE of their own then
    """

    name: str
    configuration: str
    modules: Mapping[str, str]
    activation: str = "hidden_act"
    norms_less_one: bool = False
    norms_heads_first: bool = False
    has_windows: bool = False


# The first that fits an architecture computes it.
CLASSES = (
    ModelClass(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        {
            **_BLOCK,
            **_HEAD_NORMS,
            "attn_post_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "ffn_post_norm": "post_feedforward_layernorm",
        },
        activation="hidden_activation",
        norms_less_one=True,
        norms_heads_first=True,
        has_windows=True,
    ),
    ModelClass("Qwen3ForCausalLM", "Qwen3Config", {**_BLOCK, **_HEAD_NORMS}),
    ModelClass(
        "BitNetForCausalLM",
        "BitNetConfig",
        {**_BLOCK, "attn_sub_norm": "self_attn.attn_sub_norm", "ffn_sub_norm": "mlp.ffn_sub_norm"},
    ),
    ModelClass("LlamaForCausalLM", "LlamaConfig", _BLOCK),
)


def class_of(architecture: Architecture) -> ModelClass:
    """The class that computes an architecture."""
    roles = {weight.role for weight in architecture.weights}
    return next(each for each in CLASSES if roles >= set(each.modules))


def module_of(architecture: Architecture, stage: GraphStage) -> str:
    """The module that computes a stage with a weight, inside its block (the whole name outside the blocks).

    The norm before a projection is one of the projection's modules where the class has no other for it.
    """
    if stage.weight in _OUTSIDE:
        return _OUTSIDE[stage.weight]
    modules = class_of(architecture).modules
    if stage.weight in modules:
        return modules[stage.weight]
    reader = architecture.by_name[architecture.reader_of(stage)]
    return f"{modules[reader.weight]}.{NORM_IN_PROJECTION}"


def has_norms_in_projections(architecture: Architecture) -> bool:
    """Whether there is a norm before every projection."""
    roles = {weight.role for weight in architecture.weights}
    return not roles <= set(class_of(architecture).modules)


def full_name(module: str, layer: int) -> str:
    """Of a module in a block; layer -1 is outside the blocks."""
    return module if layer < 0 else f"{LAYER.format(layer)}.{module}"
