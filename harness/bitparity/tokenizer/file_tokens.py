"""A Hugging Face tokenizer.json, run by the library that defines the format."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer as HuggingFace

from bitparity.errors import BadInput
from bitparity.tokenizer import byte_level, sentencepiece


class FileTokens:
    """The vocabulary of a tokenizer.json; methods as those of tokenizer.Tokenizer."""

    def __init__(self, path: Path, bos: int | None) -> None:
        try:
            definition = path.read_text(encoding="utf-8")
            self._tokenizer = HuggingFace.from_str(definition)
        except OSError as error:
            raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
        except Exception as error:  # the library raises bare Exception
            raise BadInput(f"{path}: is not a tokenizer.json: {error}") from error
        self._is_byte_level = '"ByteLevel"' in json.dumps(json.loads(definition).get("decoder"))
        self._added = {i: token.content for i, token in self._tokenizer.get_added_tokens_decoder().items()}
        self._bos = bos
        self.n_vocab = self._tokenizer.get_vocab_size()

    def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        self._tokenizer.encode_special_tokens = not parse_special
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_bos).ids
        adds_none = self._tokenizer.num_special_tokens_to_add(False) == 0
        return [self._bos, *ids] if add_bos and adds_none and self._bos is not None else ids

    def piece_bytes(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].encode()
        text = self._tokenizer.id_to_token(token)
        if text is None:
            return b""
        if self._is_byte_level:
            return byte_level.token_bytes(text)
        is_byte = len(text) == 6 and text.startswith("<0x")
        return sentencepiece.byte_of(text) if is_byte else sentencepiece.token_bytes(text)
