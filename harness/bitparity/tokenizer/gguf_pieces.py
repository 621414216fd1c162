"""The bytes that each id of a GGUF's own vocabulary stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitparity.errors import BadInput
from bitparity.tokenizer import byte_level, sentencepiece
from bitparity.tokenizer.pre_tokenizers import get_pre_tokenizer
from bitparity.tokenizer.vocabulary import TokenType, Vocabulary

_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"
_NAMED = TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED
_SENTENCEPIECE_BOS = 1  # llama.cpp's default where the file names none


class GgufPieces:
    """The vocabulary of a GGUF file without its merges, which text of ids does not need."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        model = metadata.get("tokenizer.ggml.model")
        if model == _BYTE_LEVEL:
            pre = get_pre_tokenizer(metadata.get("tokenizer.ggml.pre"))
            self._vocabulary = Vocabulary.from_metadata(metadata, bos=None, add_bos=pre.add_bos)
        elif model == _SENTENCEPIECE:
            self._vocabulary = Vocabulary.from_metadata(metadata, bos=_SENTENCEPIECE_BOS, add_bos=True)
        else:
            raise BadInput(
                f"tokenizer.ggml.model is {model!r}, but only {_BYTE_LEVEL!r} and {_SENTENCEPIECE!r} can be "
                "read; give token ids, or the model's tokenizer.json"
            )
        self._is_byte_level = model == _BYTE_LEVEL
        self.n_vocab = len(self._vocabulary.tokens)

    def piece_bytes(self, token: int) -> bytes:
        text, kind = self._vocabulary.tokens[token], self._vocabulary.types[token]
        if kind in _NAMED:
            return text.encode()
        if kind == TokenType.BYTE:
            return sentencepiece.byte_of(text)
        if kind == TokenType.NORMAL:
            return byte_level.token_bytes(text) if self._is_byte_level else sentencepiece.token_bytes(text)
        return b""
