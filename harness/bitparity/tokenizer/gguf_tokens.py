"""A GGUF's own vocabulary: text to ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bitparity.errors import BadInput
from bitparity.tokenizer import byte_level, sentencepiece
from bitparity.tokenizer.gguf_pieces import GgufPieces
from bitparity.tokenizer.pre_tokenizers import get_pre_tokenizer


class Merger(Protocol):
    """Merges a fragment of a text; ids >= n_vocab stand for characters that the vocabulary lacks."""

    def encode(self, text: str) -> list[int]: ...


class GgufTokens(GgufPieces):
    """The vocabulary of a GGUF file with its merges; methods as those of tokenizer.Tokenizer."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        super().__init__(metadata)
        tokens = self._vocabulary.tokens
        self._merger: Merger
        if self._is_byte_level:
            pre = get_pre_tokenizer(metadata.get("tokenizer.ggml.pre"))
            merges = metadata.get("tokenizer.ggml.merges", ())
            self._merger = byte_level.ByteLevelMerger(tokens, merges, pre)
        else:
            self._merger = sentencepiece.SentencePieceMerger(tokens, metadata)
        self._adds_space = not self._is_byte_level and bool(
            metadata.get("tokenizer.ggml.add_space_prefix", True)
        )

    def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        vocabulary = self._vocabulary
        ids = [_known(vocabulary.bos, "bos")] if add_bos and vocabulary.add_bos else []
        after_special = True
        for fragment in vocabulary.split(text, parse_special=parse_special):
            if isinstance(fragment, int):
                ids.append(fragment)
            else:
                ids += self._merge(fragment, after_special)
            after_special = isinstance(fragment, int)
        return ids + ([_known(vocabulary.eos, "eos")] if add_bos and vocabulary.add_eos else [])

    def _merge(self, fragment: str, after_special: bool) -> list[int]:
        if not self._is_byte_level:
            prefix = " " if self._adds_space and after_special else ""
            fragment = (prefix + fragment).replace(" ", sentencepiece.SPACE)
        return [i for i in self._merger.encode(fragment) if i < self.n_vocab]

    def split(self, text: str) -> list[str | int]:
        """The text cut at its special tokens, which are given by their ids."""
        return self._vocabulary.split(text, parse_special=True)


def _known(token: int | None, name: str) -> int:
    if token is None:
        raise BadInput(f"tokenizer.ggml.{name}_token_id is missing, but the file asks for it in every prompt")
    return token
