"""Which node of a reference's graph is which stage.

A node is known by its name and its op: `Qcur-3` is a MUL_MAT before RoPE and a ROPE after it.  The tables are
read off the graphs themselves (`Session.nodes` of the bridge lists them); see UPSTREAM.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from bitparity.stages import StageFilter


@dataclass(frozen=True)
class Node:
    """name         without its layer, which the graph appends as `-3`
    op           as ggml calls it
    former_name  in earlier versions of upstream; a graph has one of the two
    """

    name: str
    op: str
    former_name: str = ""

    @property
    def position_axis(self) -> int:
        """The ggml axis that runs over positions: 2 behind (head_dim, heads), else 1."""
        return 2 if self.op == "ROPE" else 1

    @property
    def is_softmax(self) -> bool:
        """Axis 0 runs over the cells of the KV cache, padded beyond the last position."""
        return self.op == "SOFT_MAX"


NodeTable = dict[str, Node]

_BOTH: NodeTable = {
    "attn_norm": Node("attn_norm", "MUL"),
    "q_proj": Node("Qcur", "MUL_MAT"),
    "k_proj": Node("Kcur", "MUL_MAT"),
    "v_proj": Node("Vcur", "MUL_MAT"),
    "q_rope": Node("Qcur", "ROPE"),
    "k_rope": Node("Kcur", "ROPE"),
    "attn_residual": Node("ffn_inp", "ADD"),
    "ffn_norm": Node("ffn_norm", "MUL"),
    "ffn_gate": Node("ffn_gate", "MUL_MAT"),
    "ffn_up": Node("ffn_up", "MUL_MAT"),
    "layer_out": Node("l_out", "ADD"),
    "final_norm": Node("result_norm", "MUL"),
    "logits": Node("result_output", "MUL_MAT"),
}
_SUB_NORMS: NodeTable = {
    "attn_sub_norm": Node("attn_sub_norm", "MUL"),
    "ffn_sub_norm": Node("ffn_sub_norm", "MUL"),
    "ffn_out": Node("ffn_down", "MUL_MAT"),
}
_OLDER: NodeTable = {
    **_BOTH,
    "embeddings": Node("inp_embd", "GET_ROWS"),
    "attn_probs": Node("kq_soft_max_ext", "SOFT_MAX"),
}
_NEWER: NodeTable = {
    **_BOTH,
    "embeddings": Node("embd", "GET_ROWS", "inp_embd"),
    "attn_probs": Node("kq_soft_max", "SOFT_MAX"),
    "attn_ctx": Node("kqv_out", "CONT"),
    "attn_out": Node("attn_out", "MUL_MAT", "attn_o_out"),
}
_OLDER_BITNET: NodeTable = {
    **_OLDER,
    **_SUB_NORMS,
    "attn_ctx": Node("kqv_out", "CONT"),
    "attn_out": Node("attn_o_out", "MUL_MAT"),
}

BITNET_CPP: dict[str, NodeTable] = {
    "bitnet": {**_OLDER_BITNET, "ffn_act": Node("ffn_sub_out", "MUL")},
    "bitnet-25": {**_OLDER_BITNET, "ffn_act": Node("ffn_out", "MUL")},
    "bitnet-b1.58": {**_OLDER_BITNET, "ffn_act": Node("ffn_out", "MUL")},
    "llama": {
        **_OLDER,
        "attn_ctx": Node("kqv_merged_cont", "CONT"),
        "attn_out": Node("kqv_out", "MUL_MAT"),
        "ffn_act": Node("ffn_gate_par", "MUL"),
        "ffn_out": Node("ffn_out", "MUL_MAT"),
    },
}
LLAMA_CPP: dict[str, NodeTable] = {
    "bitnet": {**_NEWER, **_SUB_NORMS, "ffn_act": Node("ffn_sub_out", "GLU")},
    "llama": {**_NEWER, "ffn_act": Node("ffn_swiglu", "GLU"), "ffn_out": Node("ffn_out", "MUL_MAT")},
}


def wanted_nodes(table: NodeTable, stages: StageFilter, n_layer: int) -> list[tuple[int, str, str, Node]]:
    """(layer, stage, full name of the node, node) of all that the filter asks for and the graph has."""
    return [
        (layer, stage, name if layer < 0 else f"{name}-{layer}", node)
        for layer, stage in stages.pairs(n_layer)
        if (node := table.get(stage)) is not None
        for name in filter(None, (node.name, node.former_name))
    ]
