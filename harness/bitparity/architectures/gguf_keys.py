"""The metadata keys of a decoder's hyperparameters, with the defaults of llama.cpp.

Source: llm_load_hparams in llama.cpp's src.
"""

from __future__ import annotations

from bitparity.architectures.graph import Activation, HyperKey

DECODER_KEYS = (
    HyperKey("n_layer", "block_count"),
    HyperKey("n_embd", "embedding_length"),
    HyperKey("n_head", "attention.head_count"),
    HyperKey("n_head_kv", "attention.head_count_kv", default=lambda read: read["n_head"]),
    HyperKey("head_dim", "attention.key_length", default=lambda read: read["n_embd"] // read["n_head"]),
    HyperKey("n_ff", "feed_forward_length"),
    HyperKey("context_length", "context_length"),
    HyperKey("norm_eps", "attention.layer_norm_rms_epsilon", float),
    HyperKey("rope_base", "rope.freq_base", float, default=lambda read: 10000.0),
    HyperKey("rope_dim", "rope.dimension_count", default=lambda read: read["head_dim"]),
)

# Where a file may declare its activation function (llama.cpp's name of the key, and that of Hugging Face's
# config.json), and what it may say there.
ACTIVATION_KEYS = ("hidden_activation", "hidden_act")
ACTIVATIONS: dict[str, Activation] = {
    **dict.fromkeys(("silu", "swish"), "silu"),
    **dict.fromkeys(("gelu", "gelu_new", "gelu_pytorch_tanh"), "gelu"),
    **dict.fromkeys(("relu2", "relu^2", "relu_squared", "squared_relu"), "relu2"),
}
