"""Byte-level BPE (tokenizer.ggml.model = gpt2): a printable character stands for each byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Merger

from bitparity.errors import BadInput
from bitparity.tokenizer.pre_tokenizers import PreTokenizer

# A character that no token covers becomes this one, one id beyond the vocabulary: its neighbours stay apart.
_UNCOVERED = "\0uncovered"


def make_merger(tokens: Sequence[str], metadata: Mapping[str, Any], pre: PreTokenizer) -> Merger:
    """Cuts words by the named pre-tokenizer and merges by rank.

    Ids >= len(tokens) in its output stand for characters that the vocabulary lacks; the reference drops them.
    Raises BadInput for a merge that is not two words, or that makes no token.
    """
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [_parse_merge(line, vocabulary) for line in metadata.get("tokenizer.ggml.merges", ())]
    vocabulary[_UNCOVERED] = len(tokens)
    merger = Merger(models.BPE(vocabulary, merges, unk_token=_UNCOVERED, ignore_merges=pre.ignore_merges))
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    merger.pre_tokenizer = pre_tokenizers.Sequence([*cuts, byte_level])
    return merger


def _parse_merge(line: str, vocabulary: Mapping[str, int]) -> tuple[str, str]:
    left, space, right = line.partition(" ")
    if not space or " " in right:
        raise BadInput(f"tokenizer.ggml.merges: {line!r} is not two words")
    for token in (left, right, left + right):
        if token not in vocabulary:
            raise BadInput(
                f"tokenizer.ggml.merges: {line!r} needs the token {token!r}, which the vocabulary lacks"
            )
    return left, right


def _alphabet() -> dict[str, int]:
    """The byte that each character stands for; source: GPT-2's encoder.py, bytes_to_unicode.

    Printable Latin-1 characters stand for themselves, the other bytes for U+0100 onwards in order.
    """
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in itself]
    return {chr(b): b for b in itself} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTE_OF = _alphabet()


def token_bytes(token: str) -> bytes:
    """The bytes that a normal token stands for; a character outside the alphabet is kept as its UTF-8."""
    return b"".join(bytes([BYTE_OF[c]]) if c in BYTE_OF else c.encode() for c in token)
