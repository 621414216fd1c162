"""A GGUF's own vocabulary: text to ids, and the bytes of an id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bitparity.errors import BadInput
from bitparity.tokenizer import byte_level, sentencepiece
from bitparity.tokenizer.pre_tokenizers import get_pre_tokenizer
from bitparity.tokenizer.vocabulary import TokenType, Vocabulary

_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"
_NAMED = TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED
_SENTENCEPIECE_BOS = 1  # llama.cpp's default where the file names none


class Merger(Protocol):
    """Merges a fragment of a text; ids >= n_vocab stand for characters that the vocabulary lacks."""

    def encode(self, text: str) -> list[int]: ...


class GgufTokens:
    """The vocabulary of a GGUF file; methods as those of tokenizer.Tokenizer."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        model = metadata.get("tokenizer.ggml.model")
        if model == _BYTE_LEVEL:
            pre = get_pre_tokenizer(metadata.get("tokenizer.ggml.pre"))
            self._vocabulary = Vocabulary.from_metadata(metadata, bos=None, add_bos=pre.add_bos)
            merges = metadata.get("tokenizer.ggml.merges", ())
            self._merger: Merger = byte_level.ByteLevelMerger(self._vocabulary.tokens, merges, pre)
        elif model == _SENTENCEPIECE:
            self._vocabulary = Vocabulary.from_metadata(metadata, bos=_SENTENCEPIECE_BOS, add_bos=True)
            self._merger = sentencepiece.SentencePieceMerger(self._vocabulary.tokens, metadata)
        else:
            raise BadInput(
                f"tokenizer.ggml.model is {model!r}, but only {_BYTE_LEVEL!r} and {_SENTENCEPIECE!r} can be "
                "read; give token ids, or the model's tokenizer.json"
            )
        self._is_byte_level = model == _BYTE_LEVEL
        self._adds_space = not self._is_byte_level and bool(
            metadata.get("tokenizer.ggml.add_space_prefix", True)
        )
        self.n_vocab = len(self._vocabulary.tokens)

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

    def piece_bytes(self, token: int) -> bytes:
        text, kind = self._vocabulary.tokens[token], self._vocabulary.types[token]
        if kind in _NAMED:
            return text.encode()
        if kind == TokenType.BYTE:
            return sentencepiece.byte_of(text)
        if kind == TokenType.NORMAL:
            return byte_level.token_bytes(text) if self._is_byte_level else sentencepiece.token_bytes(text)
        return b""


def _known(token: int | None, name: str) -> int:
    if token is None:
        raise BadInput(f"tokenizer.ggml.{name}_token_id is missing, but the file asks for it in every prompt")
    return token
