"""SentencePiece-style vocabularies with scores (tokenizer.ggml.model = llama).

llama.cpp joins, again and again, the pair of neighbours that makes the token with the highest score, among
equal scores the leftmost.  Where no two tokens share a score that is BPE, but there are converters that give
all tokens the same one, so the BPE of a library will not do.  Characters without a token become byte tokens
<0x00> to <0xFF>.  (SentencePiece's Unigram is another algorithm.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from bitparity.errors import BadInput

SPACE = "\u2581"  # stands for a space in tokens


class SentencePieceMerger:
    """Merges one fragment of text, spaces already replaced.  BadInput unless each token has a score."""

    def __init__(self, tokens: Sequence[str], metadata: Mapping[str, Any]) -> None:
        self._scores = list(metadata.get("tokenizer.ggml.scores", ()))
        if len(self._scores) != len(tokens):
            raise BadInput(f"tokenizer.ggml.scores has {len(self._scores)} entries for {len(tokens)} tokens")
        self._ids = {token: i for i, token in enumerate(tokens)}

    def encode(self, text: str) -> list[int]:
        return [token for piece in self._joined(text) for token in self._ids_of(piece)]

    def _joined(self, text: str) -> list[str]:
        """The pieces that are left when no two neighbours make a token."""
        pieces = list(text)
        before, after = list(range(-1, len(text) - 1)), [*range(1, len(text)), -1]
        best: list[tuple[float, int, int, str]] = []  # a heap: the highest score, then the leftmost

        def offer(left: int, right: int) -> None:
            joined = pieces[left] + pieces[right] if left >= 0 <= right else ""
            if joined in self._ids:
                heappush(best, (-self._scores[self._ids[joined]], left, right, joined))

        for left in range(len(text) - 1):
            offer(left, left + 1)
        while best:
            _, left, right, joined = heappop(best)
            if after[left] != right or pieces[left] + pieces[right] != joined:
                continue  # one of them has been joined to another piece
            pieces[left], pieces[right] = joined, ""
            after[left], after[right] = after[right], -1
            if after[left] >= 0:
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        return [piece for piece in pieces if piece]

    def _ids_of(self, piece: str) -> list[int]:
        """A token, or those of a character's bytes; nothing where one of these is missing."""
        if piece in self._ids:
            return [self._ids[piece]]
        names = [f"<0x{byte:02X}>" for byte in piece.encode()]
        return [self._ids[name] for name in names] if self._ids.keys() >= set(names) else []


def byte_of(token: str) -> bytes:
    """<0x0A> -> b"\\n"."""
    return bytes([int(token[3:5], 16)])


def token_bytes(token: str) -> bytes:
    """The bytes that a normal token stands for."""
    return token.replace(SPACE, " ").encode()
