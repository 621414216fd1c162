"""The attention function that is run: the one that a model's own source calls eager, with an onlooker.

transformers lets anybody register one under a name, and gives it queries and keys after RoPE.  This one hands
its arguments on and shows what it was given and what came of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

NAME = "bitparity"
# layer; queries and keys after RoPE, (1, heads, positions, head_dim); softmax rows
Onlooker = Callable[[int, Any, Any, Any], None]


class Attention:
    """Registered with transformers when it is made; `onlooker` is called if there is one."""

    def __init__(self) -> None:
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        self.onlooker: Onlooker | None = None
        ALL_ATTENTION_FUNCTIONS.register(NAME, self._attend)
        ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])

    def _attend(self, module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        source: Any = sys.modules[type(module).__module__]
        out, probs = source.eager_attention_forward(module, query, key, value, mask, **options)
        if self.onlooker is not None:
            self.onlooker(module.layer_idx, query, key, probs)
        return out, probs
