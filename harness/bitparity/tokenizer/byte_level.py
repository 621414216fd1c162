"""Byte-level BPE (tokenizer.ggml.model = gpt2): a printable character stands for each byte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

from tokenizers import Regex, models, pre_tokenizers

from bitparity.errors import BadInput
from bitparity.tokenizer.pre_tokenizers import PreTokenizer
from bitparity.tokenizer.unicode_16 import as_unicode_15

# A character that no token covers becomes this one, one id beyond the vocabulary: its neighbours stay apart.
_UNCOVERED = "\0uncovered"


class ByteLevelMerger:
    """Cuts words by the named pre-tokenizer and merges by rank.

    merges  "left right", the most frequent first; BadInput for one that is not two words, or makes no token

    The `tokenizers` package takes a second to take in Llama 3's vocabulary.  A merge makes a part of a word,
    so each text is merged with the tokens that are part of one of its words, and gets the same ids.
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], pre: PreTokenizer) -> None:
        self._ids = dict(zip(tokens, range(len(tokens)), strict=True))
        self._n_vocab, self._longest = len(tokens), max(map(len, tokens))
        self._ranks = dict(zip(merges, range(len(merges)), strict=True))
        self._check_merges(merges)
        self._ignore_merges = pre.ignore_merges
        cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
        self._cut = pre_tokenizers.Sequence(cuts)

    def encode(self, text: str) -> list[int]:
        """Ids >= len(tokens) stand for characters that the vocabulary lacks; the reference drops them."""
        pieces = self._cut.pre_tokenize_str(as_unicode_15(text))
        words = [_characters(text[start:end]) for _, (start, end) in pieces]
        merger = self._merger_of(set(words))
        return [token.id for word in words for token in merger.tokenize(word)]

    def _merger_of(self, words: set[str]) -> models.BPE:
        tokens = {part for word in words for part in self._parts(word)}
        ranked = {}
        for token in tokens:
            for i in range(1, len(token)):
                pair = token[:i], token[i:]
                if (rank := self._ranks.get(" ".join(pair))) is not None:
                    ranked[rank] = pair
        vocabulary = {token: self._ids[token] for token in tokens} | {_UNCOVERED: self._n_vocab}
        merges = [ranked[rank] for rank in sorted(ranked)]
        return models.BPE(vocabulary, merges, unk_token=_UNCOVERED, ignore_merges=self._ignore_merges)

    def _parts(self, word: str) -> Iterable[str]:
        """All parts of a word that are tokens."""
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + self._longest) + 1):
                if word[start:end] in self._ids:
                    yield word[start:end]

    def _check_merges(self, merges: Sequence[str]) -> None:
        """All at once, since there may be a quarter of a million; only when that fails, one by one."""
        tokens = self._ids.keys()
        if (
            {1}.issuperset(map(str.count, merges, repeat(" ")))
            and tokens >= set(" ".join(merges).split(" "))
            and tokens >= set(map(str.replace, merges, repeat(" "), repeat("")))
        ):
            return
        for line in merges:
            self._check(line)

    def _check(self, line: str) -> None:
        left, space, right = line.partition(" ")
        if left in self._ids and right in self._ids and left + right in self._ids:
            return
        if not space or " " in right:
            raise BadInput(f"tokenizer.ggml.merges: {line!r} is not two words")
        token = next(token for token in (left, right, left + right) if token not in self._ids)
        raise BadInput(
            f"tokenizer.ggml.merges: {line!r} needs the token {token!r}, which the vocabulary lacks"
        )


def _alphabet() -> dict[str, int]:
    """The byte that each character stands for; source: GPT-2's encoder.py, bytes_to_unicode.

    Printable Latin-1 characters stand for themselves, the other bytes for U+0100 onwards in order.
    """
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in itself]
    return {chr(b): b for b in itself} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTE_OF = _alphabet()
_CHARACTER_OF = {byte: character for character, byte in BYTE_OF.items()}


def _characters(piece: str) -> str:
    return "".join(_CHARACTER_OF[byte] for byte in piece.encode())


def token_bytes(token: str) -> bytes:
    """The bytes that a normal token stands for; a character outside the alphabet is kept as its UTF-8."""
    return b"".join(bytes([BYTE_OF[c]]) if c in BYTE_OF else c.encode() for c in token)
