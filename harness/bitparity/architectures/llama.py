"""Llama, with RMSNorm, RoPE, grouped-query attention and SwiGLU: Touvron et al. 2023, arXiv 2302.13971."""

from __future__ import annotations

from bitparity.architectures.ggml_nodes import BITNET_CPP_NODES, LLAMA_CPP_NODES, Node
from bitparity.architectures.gguf_keys import DECODER_KEYS
from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage

LLAMA = Architecture(
    name="llama",
    rope_pairs="norm",
    activation="silu",
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
        GraphStage("attn_out", "projection", ("attn_ctx",), "attn_out"),
        GraphStage("attn_residual", "sum", ("attn_out", "block_input")),
        GraphStage("ffn_norm", "norm", ("attn_residual",), "ffn_norm"),
        GraphStage("ffn_gate", "projection", ("ffn_norm",), "gate"),
        GraphStage("ffn_up", "projection", ("ffn_norm",), "up"),
        GraphStage("ffn_act", "product", ("ffn_gate", "ffn_up")),
        GraphStage("ffn_out", "projection", ("ffn_act",), "down"),
        GraphStage("layer_out", "sum", ("ffn_out", "attn_residual")),
        GraphStage("final_norm", "norm", ("block_input",), "output_norm"),
        GraphStage("logits", "projection", ("final_norm",), "head"),
    ),
    weights=(
        BlockWeight("attn_norm", "attn_norm", ("n_embd",)),
        BlockWeight("q", "attn_q", ("n_head * head_dim", "n_embd")),
        BlockWeight("k", "attn_k", ("n_head_kv * head_dim", "n_embd")),
        BlockWeight("v", "attn_v", ("n_head_kv * head_dim", "n_embd")),
        BlockWeight("attn_out", "attn_output", ("n_embd", "n_head * head_dim")),
        BlockWeight("ffn_norm", "ffn_norm", ("n_embd",)),
        BlockWeight("gate", "ffn_gate", ("n_ff", "n_embd")),
        BlockWeight("up", "ffn_up", ("n_ff", "n_embd")),
        BlockWeight("down", "ffn_down", ("n_embd", "n_ff")),
    ),
    keys=DECODER_KEYS,
    nodes={
        "bitnet.cpp": {
            **BITNET_CPP_NODES,
            "attn_ctx": Node("kqv_merged_cont", "CONT"),
            "attn_out": Node("kqv_out", "MUL_MAT"),
            "ffn_act": Node("ffn_gate_par", "MUL"),
            "ffn_out": Node("ffn_out", "MUL_MAT"),
        },
        "llama.cpp": {
            **LLAMA_CPP_NODES,
            "ffn_act": Node("ffn_swiglu", "GLU"),
            "ffn_out": Node("ffn_out", "MUL_MAT"),
        },
    },
)
