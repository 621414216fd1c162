"""Gemma 3: Gemma Team 2025, arXiv 2503.19786.

Besides Qwen3's norms of heads it has a norm after each branch, GELU, embeddings x sqrt(n_embd), and queries
that are divided before the product with the keys.  With a sliding window, five of six blocks see only that
many positions and have a base of RoPE of their own.
"""

from __future__ import annotations

from bitparity.architectures.ggml_nodes import LLAMA_CPP_NODES, Node
from bitparity.architectures.gguf_keys import DECODER_KEYS
from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage, HyperKey
from bitparity.architectures.input_norms import with_input_norms

GEMMA3 = Architecture(
    name="gemma3",
    rope_pairs="neox",
    activation="gelu",
    scales_embeddings=True,
    divides_queries=True,
    stages=(
        GraphStage("embeddings", "rows", ("tokens",), "token_embd"),
        GraphStage("attn_norm", "norm", ("block_input",), "attn_norm"),
        GraphStage("q_proj", "projection", ("attn_norm",), "q"),
        GraphStage("k_proj", "projection", ("attn_norm",), "k"),
        GraphStage("v_proj", "projection", ("attn_norm",), "v"),
        GraphStage("q_norm", "norm", ("q_proj",), "q_norm"),
        GraphStage("k_norm", "norm", ("k_proj",), "k_norm"),
        GraphStage("q_rope", "rotation", ("q_norm",)),
        GraphStage("k_rope", "rotation", ("k_norm",)),
        GraphStage("attn_probs", "softmax", ("q_rope", "keys")),
        GraphStage("attn_ctx", "context", ("attn_probs", "values")),
        GraphStage("attn_out", "projection", ("attn_ctx",), "attn_out"),
        GraphStage("attn_post_norm", "norm", ("attn_out",), "attn_post_norm"),
        GraphStage("attn_residual", "sum", ("attn_post_norm", "block_input")),
        GraphStage("ffn_norm", "norm", ("attn_residual",), "ffn_norm"),
        GraphStage("ffn_gate", "projection", ("ffn_norm",), "gate"),
        GraphStage("ffn_up", "projection", ("ffn_norm",), "up"),
        GraphStage("ffn_act", "product", ("ffn_gate", "ffn_up")),
        GraphStage("ffn_out", "projection", ("ffn_act",), "down"),
        GraphStage("ffn_post_norm", "norm", ("ffn_out",), "ffn_post_norm"),
        GraphStage("layer_out", "sum", ("ffn_post_norm", "attn_residual")),
        GraphStage("final_norm", "norm", ("block_input",), "output_norm"),
        GraphStage("logits", "projection", ("final_norm",), "head"),
    ),
    weights=(
        BlockWeight("attn_norm", "attn_norm", ("n_embd",)),
        BlockWeight("q", "attn_q", ("n_head * head_dim", "n_embd")),
        BlockWeight("k", "attn_k", ("n_head_kv * head_dim", "n_embd")),
        BlockWeight("v", "attn_v", ("n_head_kv * head_dim", "n_embd")),
        BlockWeight("q_norm", "attn_q_norm", ("head_dim",)),
        BlockWeight("k_norm", "attn_k_norm", ("head_dim",)),
        BlockWeight("attn_out", "attn_output", ("n_embd", "n_head * head_dim")),
        BlockWeight("attn_post_norm", "post_attention_norm", ("n_embd",)),
        BlockWeight("ffn_norm", "ffn_norm", ("n_embd",)),
        BlockWeight("gate", "ffn_gate", ("n_ff", "n_embd")),
        BlockWeight("up", "ffn_up", ("n_ff", "n_embd")),
        BlockWeight("down", "ffn_down", ("n_embd", "n_ff")),
        BlockWeight("ffn_post_norm", "post_ffw_norm", ("n_embd",)),
    ),
    keys=(
        *DECODER_KEYS,
        HyperKey("sliding_window", "attention.sliding_window", default=lambda read: 0),
        HyperKey("windowed_rope_base", "rope.freq_base_swa", float, default=lambda read: 10000.0),
    ),
    nodes={
        "llama.cpp": {
            **LLAMA_CPP_NODES,
            "embeddings": Node("inp_scaled", "SCALE"),
            "attn_out": Node("attn_output", "MUL_MAT", is_weight=True),
            "q_norm": Node("Qcur_normed", "MUL", position_axis=2),
            "k_norm": Node("Kcur_normed", "MUL", position_axis=2),
            "attn_post_norm": Node("attn_post_norm", "MUL"),
            "attn_residual": Node("sa_out", "ADD"),
            "ffn_act": Node("ffn_geglu", "GLU"),
            "ffn_out": Node("ffn_out", "MUL_MAT"),
            "ffn_post_norm": Node("ffn_post_norm", "MUL"),
        },
    },
)

GEMMA3_BITNET = with_input_norms(GEMMA3, name="gemma3-bitnet")
