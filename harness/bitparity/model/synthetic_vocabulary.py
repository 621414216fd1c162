"""A vocabulary of any size and either kind, made by rule: bytes, all short words, and the special tokens.

Words are an optional space and lower-case letters, shortest first; a word of a byte-level vocabulary merges
from its last letter or from its first, so that whatever BPE has merged so far can go on.  llama.cpp,
bitnet.cpp and Hugging Face's tokenizers read it with any pre-tokenizer.  A SentencePiece-style vocabulary has
the same words, with scores in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Literal

from bitparity.errors import BadInput

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # llama_token_type
MIN_TOKENS = 256 + 2
MIN_SENTENCEPIECE = 3 + 256 + 27  # three special tokens, the bytes, the space and the letters
_LETTERS = (
    "etaoinshrdlcumwfgypbvkjxqz"  # by frequency in English, so that small vocabularies have useful words
)
_LONGEST = 4
_SPACE = "\u0120"  # how byte-level BPE writes a space
_SENTENCEPIECE_SPACE = "\u2581"


@dataclass(frozen=True)
class VocabularyKind:
    """What a file says of its vocabulary.

    model             tokenizer.ggml.model: gpt2 (byte-level BPE) or llama (SentencePiece-style)
    pre               tokenizer.ggml.pre; None for a file without it
    add_bos           tokenizer.ggml.add_bos_token; None for a file without it
    add_eos           tokenizer.ggml.add_eos_token, the same
    add_space_prefix  tokenizer.ggml.add_space_prefix, the same
    has_bos           whether the file says which token begins a text
    has_scores        whether a byte-level vocabulary comes with scores, all zero, which nothing reads
    """

    model: Literal["gpt2", "llama"] = "gpt2"
    pre: str | None = "llama-bpe"
    add_bos: bool | None = True
    add_eos: bool | None = None
    add_space_prefix: bool | None = None
    has_bos: bool = True
    has_scores: bool = False


@dataclass(frozen=True)
class SyntheticVocabulary:
    """tokens by id; merges "left right" by rank; types as llama_token_type; scores of SentencePiece."""

    tokens: list[str]
    merges: list[str]
    types: list[int]
    bos: int
    eos: int
    scores: list[float]


def make_vocabulary(n_vocab: int, model: Literal["gpt2", "llama"] = "gpt2") -> SyntheticVocabulary:
    """BadInput when n_vocab is too small for bytes and specials, or larger than the number of words."""
    return _byte_level(n_vocab) if model == "gpt2" else _sentencepiece(n_vocab)


def _byte_level(n_vocab: int) -> SyntheticVocabulary:
    words = _words_for(n_vocab, MIN_TOKENS, _SPACE)
    merges = [merge for word in words for merge in _merges(word)]
    tokens = [*_byte_tokens(), *words, BOS, EOS]
    types = [NORMAL] * (n_vocab - 2) + [CONTROL] * 2
    return SyntheticVocabulary(tokens, merges, types, bos=n_vocab - 2, eos=n_vocab - 1, scores=[])


def _sentencepiece(n_vocab: int) -> SyntheticVocabulary:
    pieces = [*_words_for(n_vocab, MIN_SENTENCEPIECE, _SENTENCEPIECE_SPACE), _SENTENCEPIECE_SPACE, *_LETTERS]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(pieces)
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(pieces))]
    return SyntheticVocabulary(tokens, [], types, bos=1, eos=2, scores=scores)


def _words_for(n_vocab: int, others: int, space: str) -> list[str]:
    words = list(islice(_words(space), max(n_vocab - others, 0)))
    if n_vocab != others + len(words):
        most = others + sum(27 * 26 ** (n - 1) for n in range(2, _LONGEST + 1))
        raise BadInput(f"a vocabulary of {n_vocab} tokens cannot be made; it needs {others} to {most}")
    return words


def _words(space: str) -> Iterator[str]:
    for length in range(2, _LONGEST + 1):
        for letters in product(space + _LETTERS, *[_LETTERS] * (length - 1)):
            yield "".join(letters)


def _merges(word: str) -> list[str]:
    ways = [f"{word[:-1]} {word[-1]}"]
    return ways if len(word) == 2 else [*ways, f"{word[0]} {word[1:]}"]


def _byte_tokens() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE (GPT-2's bytes_to_unicode), by byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
