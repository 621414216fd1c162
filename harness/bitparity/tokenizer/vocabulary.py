"""The vocabulary that a GGUF file carries, and cutting a text at its special tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from bitparity.errors import BadInput


class TokenType(IntEnum):
    """tokenizer.ggml.token_type; source: llama.h."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


# Control tokens for llama.cpp whatever the file says (llama-vocab.cpp), the last two upstream only.
_ALWAYS_CONTROL = frozenset(
    {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>"}
    | {"</s>", "<|end_of_text|>"}
)
_CONTROL = int(TokenType.CONTROL)
_NAMED = TokenType.CONTROL, TokenType.UNKNOWN  # recognised in a text only when special tokens are parsed


@dataclass(frozen=True)
class Vocabulary:
    """tokens and types have one entry an id; bos and eos are ids, or None where there is none.

    add_bos and add_eos are what the file asks for: the first and last id of a prompt.
    """

    tokens: Sequence[str]
    types: Sequence[int]
    bos: int | None
    eos: int | None
    add_bos: bool
    add_eos: bool
    _special: list[int] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        wanted = {*map(int, _NAMED), int(TokenType.USER_DEFINED)}
        ids = [i for i, kind in enumerate(self.types) if kind in wanted and self.tokens[i]]
        self._special.extend(sorted(ids, key=lambda i: -len(self.tokens[i].encode())))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, bos: int | None, add_bos: bool) -> Vocabulary:
        """bos and add_bos hold where the metadata say nothing.  BadInput for arrays that do not fit."""
        tokens = list(metadata.get("tokenizer.ggml.tokens", ()))
        if not tokens:
            raise BadInput(
                "tokenizer.ggml.tokens is missing or empty; give token ids, or the model's tokenizer.json"
            )
        given = metadata.get("tokenizer.ggml.token_type", ())
        types = list(map(int, given)) or [int(TokenType.NORMAL)] * len(tokens)
        if len(types) != len(tokens):
            raise BadInput(f"tokenizer.ggml.token_type has {len(types)} entries for {len(tokens)} tokens")
        return cls(
            tokens=tokens,
            types=[_CONTROL if t in _ALWAYS_CONTROL else k for t, k in zip(tokens, types, strict=True)],
            bos=_special_id(metadata, "bos", len(tokens), bos),
            eos=_special_id(metadata, "eos", len(tokens), None),
            add_bos=bool(metadata.get("tokenizer.ggml.add_bos_token", add_bos)),
            add_eos=bool(metadata.get("tokenizer.ggml.add_eos_token", False)),
        )

    def split(self, text: str, *, parse_special: bool) -> list[str | int]:
        """Cut a text into fragments: ids of special tokens, and the text between them, never empty.

        Longer special tokens are looked for first, through the whole text.  User-defined tokens are always
        found; control and unknown ones only when parse_special.  (The spaces that llama.cpp strips after the
        special tokens of models named Phi-3 are kept.)
        """
        fragments: list[str | int] = [text] if text else []
        for token_id in self._special:
            token = self.tokens[token_id]
            if token in text and (parse_special or self.types[token_id] not in _NAMED):
                fragments = [part for f in fragments for part in _split_at(f, token, token_id)]
        return fragments


def _split_at(fragment: str | int, token: str, token_id: int) -> list[str | int]:
    if isinstance(fragment, int):
        return [fragment]
    parts: list[str | int] = []
    for index, text in enumerate(fragment.split(token)):
        parts += [token_id] * (index > 0)
        parts += [text] * bool(text)
    return parts


def _special_id(metadata: Mapping[str, Any], name: str, count: int, default: int | None) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id", default)
    return None if value is None or not 0 <= int(value) < count else int(value)
