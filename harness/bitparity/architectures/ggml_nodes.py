"""Which node of a graph that ggml runs is which stage; what the graphs of all architectures have in common.

A node is known by its name and its op: `Qcur-3` is a MUL_MAT before RoPE and a ROPE after it.  The tables are
read off the graphs themselves (`Session.nodes` of the bridge lists them); see reference/UPSTREAM.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """name           without its layer, which the graph appends as `-3`
    op             as ggml calls it
    former_name    in earlier versions of upstream; a graph has one of the two
    position_axis  the ggml axis that runs over positions: 1, or 2 behind (head_dim, heads)
    is_weight      the name is that of the weight in its block which the node takes; it has none of its own
    """

    name: str
    op: str
    former_name: str = ""
    position_axis: int = 1
    is_weight: bool = False

    def names(self, layer: int) -> list[str]:
        """What a node of this kind may be called in the graph; layer is -1 outside the blocks."""
        if self.is_weight:
            return [f"blk.{layer}.{self.name}.weight"]
        return [name if layer < 0 else f"{name}-{layer}" for name in (self.name, self.former_name) if name]

    @property
    def is_softmax(self) -> bool:
        """Axis 0 runs over the cells of the KV cache, padded beyond the last position."""
        return self.op == "SOFT_MAX"


NodeTable = dict[str, Node]

_COMMON: NodeTable = {
    "attn_norm": Node("attn_norm", "MUL"),
    "q_proj": Node("Qcur", "MUL_MAT"),
    "k_proj": Node("Kcur", "MUL_MAT"),
    "v_proj": Node("Vcur", "MUL_MAT"),
    "q_rope": Node("Qcur", "ROPE", position_axis=2),
    "k_rope": Node("Kcur", "ROPE", position_axis=2),
    "attn_residual": Node("ffn_inp", "ADD"),
    "ffn_norm": Node("ffn_norm", "MUL"),
    "ffn_gate": Node("ffn_gate", "MUL_MAT"),
    "ffn_up": Node("ffn_up", "MUL_MAT"),
    "layer_out": Node("l_out", "ADD"),
    "final_norm": Node("result_norm", "MUL"),
    "logits": Node("result_output", "MUL_MAT"),
}
BITNET_CPP_NODES: NodeTable = {
    **_COMMON,
    "embeddings": Node("inp_embd", "GET_ROWS"),
    "attn_probs": Node("kq_soft_max_ext", "SOFT_MAX"),
}
LLAMA_CPP_NODES: NodeTable = {
    **_COMMON,
    "embeddings": Node("embd", "GET_ROWS", "inp_embd"),
    "attn_probs": Node("kq_soft_max", "SOFT_MAX"),
    "attn_ctx": Node("kqv_out", "CONT"),
    "attn_out": Node("attn_out", "MUL_MAT", "attn_o_out"),
}
