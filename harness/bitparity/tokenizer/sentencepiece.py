"""SentencePiece-style vocabularies with scores (tokenizer.ggml.model = llama).

llama.cpp joins, again and again, the pair of neighbours that makes the token with the highest score,
leftmost first.  That is BPE whose merges are all ways to cut a token into two, ranked by the token's score;
tokens with equal scores, which trained vocabularies do not have, are ranked by id.  Characters without a
token become byte tokens <0x00> to <0xFF>.  (SentencePiece's Unigram is another algorithm.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, models

from bitparity.errors import BadInput

SPACE = "\u2581"  # stands for a space in tokens


class SentencePieceMerger:
    """Merges one fragment of text, spaces already replaced.  BadInput unless each token has a score."""

    def __init__(self, tokens: Sequence[str], metadata: Mapping[str, Any]) -> None:
        scores = list(metadata.get("tokenizer.ggml.scores", ()))
        if len(scores) != len(tokens):
            raise BadInput(f"tokenizer.ggml.scores has {len(scores)} entries for {len(tokens)} tokens")
        vocabulary = {token: i for i, token in enumerate(tokens)}
        by_score = sorted((t for t in tokens if len(t) > 1), key=lambda t: -scores[vocabulary[t]])
        merges = [cut for token in by_score for cut in _cuts(token, vocabulary)]
        self._tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True))

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids


def _cuts(token: str, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    pairs = ((token[:i], token[i:]) for i in range(1, len(token)))
    return [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]


def byte_of(token: str) -> bytes:
    """<0x0A> -> b"\\n"."""
    return bytes([int(token[3:5], 16)])


def token_bytes(token: str) -> bytes:
    """The bytes that a normal token stands for."""
    return token.replace(SPACE, " ").encode()
