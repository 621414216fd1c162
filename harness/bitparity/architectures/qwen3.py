"""Qwen3: Yang et al. 2025, arXiv 2505.09388.

It is Llama's graph with a norm of every query and key head before RoPE, and its heads may be wider than the
stream divided by their number.  The BitNet embedding models of Microsoft that are built on it have one more
norm before each projection; their files bear the same name.
"""

from __future__ import annotations

from bitparity.architectures.ggml_nodes import LLAMA_CPP_NODES, Node
from bitparity.architectures.gguf_keys import DECODER_KEYS
from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage
from bitparity.architectures.input_norms import with_input_norms

QWEN3 = Architecture(
    name="qwen3",
    rope_pairs="neox",
    activation="silu",
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
        BlockWeight("q_norm", "attn_q_norm", ("head_dim",)),
        BlockWeight("k_norm", "attn_k_norm", ("head_dim",)),
        BlockWeight("attn_out", "attn_output", ("n_embd", "n_head * head_dim")),
        BlockWeight("ffn_norm", "ffn_norm", ("n_embd",)),
        BlockWeight("gate", "ffn_gate", ("n_ff", "n_embd")),
        BlockWeight("up", "ffn_up", ("n_ff", "n_embd")),
        BlockWeight("down", "ffn_down", ("n_embd", "n_ff")),
    ),
    keys=DECODER_KEYS,
    nodes={
        "llama.cpp": {
            **LLAMA_CPP_NODES,
            "attn_out": Node("attn_output", "MUL_MAT", is_weight=True),
            "q_norm": Node("Qcur_normed", "MUL", position_axis=2),
            "k_norm": Node("Kcur_normed", "MUL", position_axis=2),
            "ffn_act": Node("ffn_swiglu", "GLU"),
            "ffn_out": Node("ffn_out", "MUL_MAT"),
        },
    },
)

QWEN3_BITNET = with_input_norms(QWEN3, name="qwen3-bitnet")
