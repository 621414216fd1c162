"""The tokenizer: one interface, whether the vocabulary comes from a GGUF or from a tokenizer.json."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bitparity.errors import BadInput


class Tokenizer(ABC):
    """Text to ids and back.  Ids equal those of `llama_tokenize` for the same flags."""

    n_vocab: int

    @staticmethod
    def from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
        """From a GGUF's metadata.

        Raises BadInput for a vocabulary of another kind, a missing or unknown pre-tokenizer (named), and
        arrays that do not fit each other.
        """
        from bitparity.tokenizer.gguf_tokenizer import GgufTokenizer

        return GgufTokenizer(metadata)

    @staticmethod
    def from_file(path: Path, *, bos: int | None = None) -> Tokenizer:
        """From a tokenizer.json; bos is prepended where the file itself adds no special token.

        Raises BadInput when it cannot be read.
        """
        from bitparity.tokenizer.file_tokenizer import FileTokenizer

        return FileTokenizer(path, bos)

    @abstractmethod
    def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        """Ids of a text.

        add_bos        do what the vocabulary asks at both ends of a prompt (`add_special` of llama.cpp):
                       prepend BOS once, append EOS if the file says so.  A text that itself begins with BOS
                       then begins with two, as in the reference.
        parse_special  control tokens in the text are recognised; otherwise they are plain text

        Raises BadInput for a text that is not Unicode (a lone surrogate).
        """

    @abstractmethod
    def piece_bytes(self, token: int) -> bytes:
        """The bytes that one id stands for; special tokens give their name."""

    def piece(self, token: int) -> str:
        """One id as text; bytes that are no UTF-8 on their own show as U+FFFD."""
        return self.decode_bytes([token]).decode(errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of all ids, which may begin or end inside a UTF-8 sequence.

        Raises BadInput for an id outside the vocabulary.
        """
        return b"".join(self.piece_bytes(self._checked(i)) for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of all ids, unpruned: what encoding added (BOS, a leading space) is in it."""
        return self.decode_bytes(ids).decode(errors="replace")

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.n_vocab:
            raise BadInput(f"token {token} is outside the vocabulary of {self.n_vocab:,}")
        return token


def check_text(text: str) -> None:
    """Raises BadInput when the text cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"the text is not Unicode: {text[error.start]!r} at character {error.start}") from None
