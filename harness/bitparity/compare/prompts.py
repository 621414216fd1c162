"""Prompts as text, as a file, or as token ids; and the gate that both tokenizers must pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bitparity.engine import Session
from bitparity.errors import BadInput, CannotTokenize, TokenMismatch
from bitparity.tokenizer.causes import cause_of_mismatch
from bitparity.tokenizer.tokenizer import require_unicode


@dataclass(frozen=True)
class Prompt:
    """Either a text, tokenized by both engines, or ids, which skip the gate."""

    text: str | None = None
    tokens: tuple[int, ...] | None = None

    def largest_length(self) -> int:
        """Tokens that it can have at most: a token stands for a byte or more, except BOS and EOS."""
        return len(self.tokens) if self.tokens is not None else len((self.text or "").encode()) + 2


class ExternalTokenizer(Protocol):
    """What the gate needs of bitparity.tokenizer.Tokenizer."""

    def encode(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]: ...


def text_prompt(text: str) -> Prompt:
    """Raises BadInput for an empty text, and for what is not Unicode."""
    if not text:
        raise BadInput("the prompt is empty: there is nothing to compare; give some text")
    require_unicode(text)
    return Prompt(text=text)


def read_prompts(path: Path) -> list[Prompt]:
    """Read a file of prompts: one text a line, or JSON lines when the name ends in .jsonl.

    A JSON line is a string, a list of token ids, or an object with "text" or "tokens".  Blank lines do not
    count.  Raises BadInput for a file without prompts and for a line that is none of these.
    """
    lines = [(n, line) for n, line in enumerate(_read(path).splitlines(), 1) if line.strip()]
    if not lines:
        raise BadInput(f"{path} holds no prompt; write one a line")
    if path.suffix != ".jsonl":
        return [Prompt(text=line) for _, line in lines]
    return [_parse_json_prompt(line, f"{path} line {n}") for n, line in lines]


def parse_tokens(text: str) -> Prompt:
    """Token ids, `1,2,3`, or the path of a file that holds ids with commas or white space between."""
    source = "--tokens"
    if not re.fullmatch(r"[\d\s,+-]*", text):
        source = text
        text = _read(Path(text))
    parts = text.replace(",", " ").split()
    try:
        ids = tuple(int(part) for part in parts)
    except ValueError:
        wrong = next(part for part in parts if not re.fullmatch(r"[+-]?\d+", part))
        raise BadInput(
            f"{source}: {wrong!r} is no token id; write whole numbers with commas between"
        ) from None
    if not ids:
        raise BadInput(f"{source} holds no token id; write for example --tokens 1,2,3")
    return Prompt(tokens=ids)


def tokenize(
    prompt: Prompt,
    reference: Session,
    candidate: Session,
    external: ExternalTokenizer | None = None,
    otherwise: Callable[[], ExternalTokenizer] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[int]:
    """Turn a prompt into ids that both engines agree on; special tokens in the text are parsed, BOS is added.

    metadata  of the model's file, by which a mismatch is explained

    An engine without a tokenizer runs the ids of the other one; where both have none, those of `otherwise`.

    Raises BadInput when their vocabularies are of unequal size, TokenMismatch, with the first offset and both
    pieces, when they do not agree, and CannotTokenize when nobody makes ids of a text.
    """
    ours, theirs = candidate.info, reference.info
    if ours.n_vocab != theirs.n_vocab:
        raise BadInput(
            f"the models have vocabularies of unequal size: {theirs.n_vocab} tokens in "
            f"{theirs.fingerprint.engine}, {ours.n_vocab} in {ours.fingerprint.engine}; "
            "an engine that pads its rows of logits must leave the padding out"
        )
    actual, expected = (_encode_if_it_can(prompt, side, external) for side in (candidate, reference))
    if expected is None or actual is None:
        found = actual if expected is None else expected
        return encode(prompt, reference, external, otherwise) if found is None else found
    if expected != actual:
        made = [(s.info.fingerprint.engine, ids) for s, ids in ((reference, expected), (candidate, actual))]
        cause = None if metadata is None else cause_of_mismatch(metadata, prompt.text or "", made)
        raise TokenMismatch(_explain_mismatch(reference, expected, candidate, actual, cause))
    return expected


def encode(
    prompt: Prompt,
    session: Session,
    external: ExternalTokenizer | None = None,
    otherwise: Callable[[], ExternalTokenizer] | None = None,
) -> list[int]:
    """The ids of a prompt: its own, else those of the external tokenizer, else those of the session.

    otherwise  makes the tokenizer that is taken where the session has none; else that is CannotTokenize
    """
    if prompt.tokens is not None:
        return list(prompt.tokens)
    text = prompt.text or ""
    if external is not None:
        return external.encode(text, add_bos=True, parse_special=True)
    try:
        return session.tokenize(text, add_bos=True, parse_special=True)
    except CannotTokenize:
        if otherwise is None:
            raise
        return otherwise().encode(text, add_bos=True, parse_special=True)


def _encode_if_it_can(
    prompt: Prompt, session: Session, external: ExternalTokenizer | None
) -> list[int] | None:
    try:
        return encode(prompt, session, external)
    except CannotTokenize:
        return None


def _explain_mismatch(
    reference: Session,
    expected: Sequence[int],
    candidate: Session,
    actual: Sequence[int],
    cause: str | None,
) -> str:
    offset = next(
        (i for i, (e, a) in enumerate(zip(expected, actual, strict=False)) if e != a),
        min(len(expected), len(actual)),
    )
    return (
        f"the engines tokenize the text differently from offset {offset}: "
        f"{_describe_token(reference, expected, offset)}, {_describe_token(candidate, actual, offset)} "
        f"({len(expected)} and {len(actual)} tokens){f'; {cause}' if cause else ''}; "
        "give --tokens or --tokenizer to compare on the same ids"
    )


def _describe_token(session: Session, ids: Sequence[int], offset: int) -> str:
    engine = session.info.fingerprint.engine
    if offset >= len(ids):
        return f"{engine} has no token there"
    return f"{engine} has {ids[offset]} {session.detokenize([ids[offset]])!r}"


def _parse_json_prompt(line: str, where: str) -> Prompt:
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadInput(f"{where} is not JSON: {error.msg} at column {error.colno}") from None
    if isinstance(value, dict):
        value = value.get("tokens", value.get("text"))
    if isinstance(value, str) and value:
        return text_prompt(value)
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return Prompt(tokens=tuple(value))
    raise BadInput(f"{where} is neither a text nor a list of token ids")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text: {error}") from error
