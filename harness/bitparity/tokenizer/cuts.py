"""What another pre-tokenizer would make of the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from bitparity.tokenizer.tokenizer import Tokenizer


def what_a_cut_changes(metadata: Mapping[str, Any], texts: Sequence[str], pre: str) -> str:
    """A clause that says what the ids of some texts would be, were they cut as by the pre-tokenizer `pre`."""
    tokenizers = [Tokenizer.from_gguf(metadata), Tokenizer.from_gguf({**metadata, "tokenizer.ggml.pre": pre})]
    for text in texts:
        own, other = (tokenizer.encode(text, add_bos=True, parse_special=True) for tokenizer in tokenizers)
        if own != other:
            offset = next(i for i, (a, b) in enumerate(zip_longest(own, other)) if a != b)
            pieces = (tokenizers[0].decode(ids[offset : offset + 1]) for ids in (own, other))
            said = " where it is now ".join(repr(piece) for piece in reversed(list(pieces)))
            return f"cut as by {pre!r} the ids would be others from offset {offset} on: {said}"
    return f"cut as by {pre!r} the ids of these texts would be the same"
