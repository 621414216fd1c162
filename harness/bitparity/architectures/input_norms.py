"""A norm before every projection of a block: what makes a Qwen3 or a Gemma 3 the BitNet of its name.

    x -> RMSNorm(x) x weight -> int8 -> ternary matrix

Source: docs/bitnet-embeddings-i2s-guide.md in microsoft/BitNet, section 3.1, and the names of section 3.2.
"""

from __future__ import annotations

from dataclasses import replace

from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage

# Projection, the norm before it and the tensor of its weight: those of attn_out and ffn_out stand where the
# architecture `bitnet` has its norms inside branches.
_NORMS = {
    "q_proj": ("q_in_norm", "attn_q_norm_in"),
    "k_proj": ("k_in_norm", "attn_k_norm_in"),
    "v_proj": ("v_in_norm", "attn_v_norm_in"),
    "attn_out": ("attn_sub_norm", "attn_output_norm_in"),
    "ffn_gate": ("ffn_gate_in_norm", "ffn_gate_norm_in"),
    "ffn_up": ("ffn_up_in_norm", "ffn_up_norm_in"),
    "ffn_out": ("ffn_sub_norm", "ffn_down_norm_in"),
}


def with_input_norms(plain: Architecture, name: str) -> Architecture:
    """The architecture with these norms, under another name; no reference that we know runs it."""
    stages: list[GraphStage] = []
    weights: list[BlockWeight] = []
    norm_before = {stage.weight: _NORMS[stage.name] for stage in plain.stages if stage.name in _NORMS}
    for stage in plain.stages:
        if stage.name in _NORMS:
            norm, _ = _NORMS[stage.name]
            stages += [GraphStage(norm, "norm", stage.inputs, norm), replace(stage, inputs=(norm,))]
        else:
            stages.append(stage)
    for weight in plain.weights:
        if weight.role in norm_before:
            norm, tensor = norm_before[weight.role]
            weights.append(BlockWeight(norm, tensor, (weight.axes[-1],)))
        weights.append(weight)
    return replace(
        plain, name=name, stages=tuple(stages), weights=tuple(weights), nodes={}, shares_name_with=plain.name
    )
