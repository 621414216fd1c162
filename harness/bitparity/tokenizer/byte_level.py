"""Byte-level BPE (tokenizer.ggml.model = gpt2): a printable character stands for each byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenizers import Regex, models, pre_tokenizers

from bitparity.errors import BadInput
from bitparity.tokenizer.pre_tokenizers import PreTokenizer
from bitparity.tokenizer.unicode_16 import as_unicode_15

# Stands for a character that no token covers, with an id one beyond the vocabulary, so that its neighbours
# are not merged.
_UNCOVERED = "\0uncovered"


class ByteLevelMerger:
    """Cuts words by the named pre-tokenizer and merges by rank.

    merges  "left right", the most frequent first; BadInput for one that is not two words, or makes no token
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], pre: PreTokenizer) -> None:
        ids = {token: i for i, token in enumerate(tokens)} | {_UNCOVERED: len(tokens)}
        pairs = [_pair(line, ids) for line in merges]
        self._model = models.BPE(ids, pairs, unk_token=_UNCOVERED, ignore_merges=pre.ignore_merges)
        cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
        self._cut = pre_tokenizers.Sequence(cuts)

    def encode(self, text: str) -> list[int]:
        """Ids >= len(tokens) stand for characters that the vocabulary lacks; the reference drops them."""
        pieces = self._cut.pre_tokenize_str(as_unicode_15(text))
        words = (_characters(text[start:end]) for _, (start, end) in pieces)
        return [token.id for word in words for token in self._model.tokenize(word)]


def _pair(line: str, ids: Mapping[str, int]) -> tuple[str, str]:
    left, space, right = line.partition(" ")
    if left in ids and right in ids and left + right in ids:
        return left, right
    if not space or " " in right:
        raise BadInput(f"tokenizer.ggml.merges: {line!r} is not two words")
    token = next(token for token in (left, right, left + right) if token not in ids)
    raise BadInput(f"tokenizer.ggml.merges: {line!r} needs the token {token!r}, which the vocabulary lacks")


def _alphabet() -> dict[str, int]:
    """The byte that each character stands for; source: GPT-2's encoder.py, bytes_to_unicode.

    Printable Latin-1 characters stand for themselves, the other bytes for U+0100 onwards in order.
    """
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in itself]
    return {chr(b): b for b in itself} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTE_OF = _alphabet()
CHARACTER_OF = {byte: character for character, byte in BYTE_OF.items()}


def _characters(piece: str) -> str:
    return "".join(CHARACTER_OF[byte] for byte in piece.encode())


def token_bytes(token: str) -> bytes:
    """The bytes that a normal token stands for; a character outside the alphabet is kept as its UTF-8."""
    return b"".join(bytes([BYTE_OF[c]]) if c in BYTE_OF else c.encode() for c in token)
