"""A byte-level BPE vocabulary of any size, made by rule: bytes, then all short words, then the two specials.

Words are an optional space and lower-case letters, shortest first; a word merges from its last letter or from
its first, so that whatever BPE has merged so far can go on.  llama.cpp, bitnet.cpp and Hugging Face's
tokenizers read it with the pre-tokenizer `llama-bpe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

from bitparity.errors import BadInput

PRE_TOKENIZER = "llama-bpe"
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
NORMAL, CONTROL = 1, 3  # llama_token_type
MIN_TOKENS = 256 + 2
_LETTERS = (
    "etaoinshrdlcumwfgypbvkjxqz"  # by frequency in English, so that small vocabularies have useful words
)
_LONGEST = 4
_SPACE = "\u0120"  # how byte-level BPE writes a space


@dataclass(frozen=True)
class SyntheticVocabulary:
    """tokens by id; merges "left right" by rank; types as llama_token_type."""

    tokens: list[str]
    merges: list[str]
    types: list[int]
    bos: int
    eos: int


def make_vocabulary(n_vocab: int) -> SyntheticVocabulary:
    """BadInput when n_vocab is too small for bytes and specials, or larger than the number of words."""
    words = list(islice(_words(), max(n_vocab - MIN_TOKENS, 0)))
    if n_vocab != MIN_TOKENS + len(words):
        most = MIN_TOKENS + sum(27 * 26 ** (n - 1) for n in range(2, _LONGEST + 1))
        raise BadInput(f"a vocabulary of {n_vocab} tokens cannot be made; it needs {MIN_TOKENS} to {most}")
    merges = [merge for word in words for merge in _merges(word)]
    tokens = [*_byte_tokens(), *words, BOS, EOS]
    types = [NORMAL] * (n_vocab - 2) + [CONTROL] * 2
    return SyntheticVocabulary(tokens, merges, types, bos=n_vocab - 2, eos=n_vocab - 1)


def _words() -> Iterator[str]:
    for length in range(2, _LONGEST + 1):
        for letters in product(_SPACE + _LETTERS, *[_LETTERS] * (length - 1)):
            yield "".join(letters)


def _merges(word: str) -> list[str]:
    ways = [f"{word[:-1]} {word[-1]}"]
    return ways if len(word) == 2 else [*ways, f"{word[0]} {word[1:]}"]


def _byte_tokens() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE (GPT-2's bytes_to_unicode), by byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
