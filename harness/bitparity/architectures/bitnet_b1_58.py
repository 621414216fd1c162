"""BitNet b1.58 2B4T: Ma et al. 2025, arXiv 2504.12285.  BitNet's graph with ReLU^2 for SiLU.

Only bitnet.cpp runs it, under two names; `bitnet-25` is the one of its first converters.
"""

from __future__ import annotations

from dataclasses import replace

from bitparity.architectures.bitnet import BITNET
from bitparity.architectures.ggml_nodes import Node

BITNET_B1_58 = replace(
    BITNET,
    name="bitnet-b1.58",
    activation="relu2",
    nodes={"bitnet.cpp": {**BITNET.nodes["bitnet.cpp"], "ffn_act": Node("ffn_out", "MUL")}},
)
BITNET_25 = replace(BITNET_B1_58, name="bitnet-25")
