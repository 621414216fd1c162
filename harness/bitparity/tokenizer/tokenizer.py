"""The tokenizer: one interface, whether the vocabulary comes from a GGUF or from a tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from bitparity.errors import BadInput
from bitparity.tokenizer.file_tokens import FileTokens
from bitparity.tokenizer.gguf_tokens import GgufTokens


class Pieces(Protocol):
    """A vocabulary of which text can be made."""

    n_vocab: int

    def piece_bytes(self, token: int) -> bytes:
        """The bytes that one id stands for; special tokens give their name."""
        ...


class Tokens(Pieces, Protocol):
    """A vocabulary that can be used both ways; methods as those of Tokenizer."""

    def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]: ...


class Detokenizer:
    """Ids to text."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self.n_vocab = pieces.n_vocab

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of all ids, which may begin or end inside a UTF-8 sequence.

        Raises BadInput for an id outside the vocabulary.
        """
        return b"".join(self._pieces.piece_bytes(self._checked(i)) for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of all ids, including what encoding added (BOS, a leading space).

        Bytes that are no UTF-8 show as U+FFFD.
        """
        return self.decode_bytes(ids).decode(errors="replace")

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.n_vocab:
            raise BadInput(f"token {token} is outside the vocabulary of {self.n_vocab:,}")
        return token


class Tokenizer(Detokenizer):
    """Text to ids and back.  Ids equal those of `llama_tokenize` for the same flags."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self._tokens = tokens

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any]) -> Tokenizer:
        """From a GGUF's metadata.

        Raises BadInput for a vocabulary of another kind, a missing or unknown pre-tokenizer (named), and
        arrays that do not fit each other.
        """
        return cls(GgufTokens(metadata))

    @classmethod
    def from_file(cls, path: Path, *, bos: int | None = None) -> Tokenizer:
        """From a tokenizer.json; bos is prepended where the file itself adds no special token.

        Raises BadInput when it cannot be read.
        """
        return cls(FileTokens(path, bos))

    def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        """Ids of a text.

        add_bos        do what the vocabulary asks at both ends of a prompt (`add_special` of llama.cpp):
                       prepend BOS once, append EOS if the file says so.  A text that itself begins with BOS
                       then begins with two, as in the reference.
        parse_special  control tokens in the text are recognised; otherwise they are plain text

        Raises BadInput for a text that is not Unicode (a lone surrogate).
        """
        require_unicode(text)
        return self._tokens.encode(text, add_bos=add_bos, parse_special=parse_special)


def require_unicode(text: str) -> None:
    """BadInput that names the first character which is none: half of a surrogate pair, or a byte of a command
    line that is not UTF-8 (Python keeps it as U+DC80 to U+DCFF)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        is_byte = 0xDC80 <= code <= 0xDCFF
        what = f"the byte 0x{code - 0xDC00:02X}, which is not UTF-8" if is_byte else f"U+{code:04X}"
        raise BadInput(f"the text is not Unicode: it has {what}, at character {error.start}") from None
