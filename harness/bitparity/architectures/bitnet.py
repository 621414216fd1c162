"""BitNet b1.58 as it was first published: Ma et al. 2024, arXiv 2402.17764.

It is Llama's graph with two more norms, before the output projection and before the down projection, so that
what is quantised to int8 has a known size (SubLN: Wang et al. 2022, arXiv 2210.06423).
"""

from __future__ import annotations

from bitparity.architectures.ggml_nodes import BITNET_CPP_NODES, LLAMA_CPP_NODES, Node
from bitparity.architectures.gguf_keys import DECODER_KEYS
from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage

BITNET = Architecture(
    name="bitnet",
    rope_pairs="neox",
    activation="silu",
    has_no_own_head=True,
    stages=(
        GraphStage("embeddings", "rows", ("tokens",), "token_embd"),
        GraphStage("attn_norm", "norm", ("block_input",), "attn_norm"),
        GraphStage("q_proj", "projection", ("attn_norm",), "q"),
        GraphStage("k_proj", "projection", ("attn_norm",), "k"),
        GraphStage("v_proj", "projection", ("attn_norm",), "v"),
        GraphStage("q_rope", "rotation", ("q_proj",)),
        GraphStage("k_rope", "rotation", ("k_proj",)),
        GraphStage("attn_probs", "softmax", ("q_rope", "keys")),
        GraphStage("attn_ctx", "context", ("attn_probs", "values")),
        GraphStage("attn_sub_norm", "norm", ("attn_ctx",), "attn_sub_norm"),
        GraphStage("attn_out", "projection", ("attn_sub_norm",), "attn_out"),
        GraphStage("attn_residual", "sum", ("attn_out", "block_input")),
        GraphStage("ffn_norm", "norm", ("attn_residual",), "ffn_norm"),
        GraphStage("ffn_gate", "projection", ("ffn_norm",), "gate"),
        GraphStage("ffn_up", "projection", ("ffn_norm",), "up"),
        GraphStage("ffn_act", "product", ("ffn_gate", "ffn_up")),
        GraphStage("ffn_sub_norm", "norm", ("ffn_act",), "ffn_sub_norm"),
        GraphStage("ffn_out", "projection", ("ffn_sub_norm",), "down"),
        GraphStage("layer_out", "sum", ("ffn_out", "attn_residual")),
        GraphStage("final_norm", "norm", ("block_input",), "output_norm"),
        GraphStage("logits", "projection", ("final_norm",), "head"),
    ),
    weights=(
        BlockWeight("attn_norm", "attn_norm", ("n_embd",)),
        BlockWeight("q", "attn_q", ("n_head * head_dim", "n_embd")),
        BlockWeight("k", "attn_k", ("n_head_kv * head_dim", "n_embd")),
        BlockWeight("v", "attn_v", ("n_head_kv * head_dim", "n_embd")),
        BlockWeight("attn_sub_norm", "attn_sub_norm", ("n_head * head_dim",)),
        BlockWeight("attn_out", "attn_output", ("n_embd", "n_head * head_dim")),
        BlockWeight("ffn_norm", "ffn_norm", ("n_embd",)),
        BlockWeight("gate", "ffn_gate", ("n_ff", "n_embd")),
        BlockWeight("up", "ffn_up", ("n_ff", "n_embd")),
        BlockWeight("ffn_sub_norm", "ffn_sub_norm", ("n_ff",)),
        BlockWeight("down", "ffn_down", ("n_embd", "n_ff")),
    ),
    keys=DECODER_KEYS,
    nodes={
        "bitnet.cpp": {
            **BITNET_CPP_NODES,
            "attn_ctx": Node("kqv_out", "CONT"),
            "attn_sub_norm": Node("attn_sub_norm", "MUL"),
            "attn_out": Node("attn_o_out", "MUL_MAT"),
            "ffn_act": Node("ffn_sub_out", "MUL"),
            "ffn_sub_norm": Node("ffn_sub_norm", "MUL"),
            "ffn_out": Node("ffn_down", "MUL_MAT"),
        },
        "llama.cpp": {
            **LLAMA_CPP_NODES,
            "attn_sub_norm": Node("attn_sub_norm", "MUL"),
            "ffn_act": Node("ffn_sub_out", "GLU"),
            "ffn_sub_norm": Node("ffn_sub_norm", "MUL"),
            "ffn_out": Node("ffn_down", "MUL_MAT"),
        },
    },
)
