"""tokenizer.json as the vocabulary of a GGUF file.

| tokenizer.json | tokenizer.ggml.model |
|---|---|
| BPE with the decoder ByteLevel | gpt2, with the name of the pre-tokenizer that cuts alike |
| BPE with byte fallback and U+2581 for a space | llama, with scores in the order of the merges |

A pre-tokenizer is recognised by how it cuts hard texts, which its patterns decide, however they are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as HuggingFace

from bitparity.errors import BadInput
from bitparity.model.checkpoint.shards import read_json
from bitparity.tokenizer import sentencepiece
from bitparity.tokenizer.hard_texts import HARD_TEXTS
from bitparity.tokenizer.pre_tokenizers import PRE_TOKENIZERS
from bitparity.tokenizer.unicode_16 import as_unicode_15
from bitparity.tokenizer.vocabulary import TokenType

FILE = "tokenizer.json"
_SETTINGS, _TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
_WITHOUT_MERGE = -1e9  # score of a token that no merge makes: the least
_SPECIAL = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


@dataclass(frozen=True)
class Source:
    """What a checkpoint's tokenizer is made of.

    definition  the content of tokenizer.json
    tokenizer   the same, run by the library that defines it
    settings    tokenizer_config.json, empty without one
    n_vocab     rows of the embedding
    """

    folder: Path
    definition: Mapping[str, Any]
    tokenizer: HuggingFace
    settings: Mapping[str, Any]
    n_vocab: int

    @property
    def is_byte_level(self) -> bool:
        return '"ByteLevel"' in json.dumps(self.definition.get("decoder"))

    def id_of(self, token: Any) -> int | None:
        """The id of a token as tokenizer_config.json names it: its text, or an object with its text."""
        text = token.get("content") if isinstance(token, dict) else token
        return self.tokenizer.token_to_id(text) if isinstance(text, str) else None


def open_tokenizer(folder: Path, n_vocab: int) -> Source:
    """Read the folder's tokenizer; BadInput when there is none that the library reads."""
    definition = read_json(folder / FILE)
    try:
        tokenizer = HuggingFace.from_str(json.dumps(definition))
    except Exception as error:  # the library raises bare Exception
        raise BadInput(f"{FILE} is not read by the tokenizers package: {error}") from error
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    return Source(folder, definition, tokenizer, settings, n_vocab)


def read_vocabulary(source: Source, config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Metadata under `tokenizer.`, and what a GGUF file cannot say, a sentence each.

    config  what config.json says of special tokens, where tokenizer_config.json says nothing

    Raises BadInput for a kind of vocabulary that GGUF files do not have, and an unknown pre-tokenizer.
    """
    model = source.definition.get("model") or {}
    if model.get("type") != "BPE":
        raise BadInput(f"{FILE} has a model of the type {model.get('type')!r}; only BPE is read")
    kind, notes = _byte_level(source, model) if source.is_byte_level else _sentencepiece(source, model)
    metadata = {f"tokenizer.ggml.{key}": value for key, value in (kind | _special(source, config)).items()}
    template = _chat_template(source)
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    return metadata, tuple(notes)


_Kind = tuple[dict[str, Any], list[str]]  # keys behind "tokenizer.ggml.", and what the file cannot say


def _byte_level(source: Source, model: Mapping[str, Any]) -> _Kind:
    tokens, types = _tokens(source, model["vocab"])
    pre = recognised(source.tokenizer, ignore_merges=bool(model.get("ignore_merges")))
    return {
        "model": "gpt2",
        "pre": pre.name,
        "tokens": tokens,
        "token_type": np.array(types, dtype=np.int32),
        "merges": [" ".join(_pair(merge)) for merge in model["merges"]],
    }, _notes(source, pre)


def _sentencepiece(source: Source, model: Mapping[str, Any]) -> _Kind:
    if not model.get("byte_fallback"):
        raise BadInput(f"{FILE} is BPE of characters without byte tokens, which GGUF files do not have")
    tokens, types = _tokens(source, model["vocab"])
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        ranks.setdefault("".join(_pair(merge)), rank)
    scores = [0.0 if len(token) == 1 else _WITHOUT_MERGE for token in tokens]
    for i, token in enumerate(tokens):
        if token in ranks:
            scores[i] = -float(ranks[token])
        elif types[i] == TokenType.NORMAL and len(token) == 6 and token.startswith("<0x"):
            types[i], scores[i] = TokenType.BYTE, 0.0
        elif token == model.get("unk_token"):
            types[i] = TokenType.UNKNOWN
    first = source.tokenizer.encode("a", add_special_tokens=False).tokens
    return {
        "model": "llama",
        "pre": "default",
        "tokens": tokens,
        "scores": np.array(scores, dtype=np.float32),
        "token_type": np.array(types, dtype=np.int32),
        "add_space_prefix": bool(first) and first[0].startswith(sentencepiece.SPACE),
    }, []


def _pair(merge: str | Sequence[str]) -> Sequence[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _tokens(source: Source, vocabulary: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Every id's token and type; an id without a token is padding, as converters of llama.cpp write it."""
    found = {i: (token, TokenType.NORMAL) for token, i in vocabulary.items()}
    for added in source.definition.get("added_tokens") or []:
        kind = TokenType.CONTROL if added.get("special") else TokenType.USER_DEFINED
        found[added["id"]] = (added["content"], kind)
    beyond = sorted(i for i in found if i >= source.n_vocab)
    if beyond:
        raise BadInput(
            f"{FILE} has the token {found[beyond[0]][0]!r} with the id {beyond[0]}, and the embedding has "
            f"{source.n_vocab} rows"
        )
    both = [found.get(i, (f"[PAD{i}]", TokenType.UNUSED)) for i in range(source.n_vocab)]
    return [token for token, _ in both], [int(kind) for _, kind in both]


@dataclass(frozen=True)
class Recognised:
    """The name of a pre-tokenizer, and the hard texts that it cuts in another way than the tokenizer."""

    name: str
    others: tuple[str, ...]


def recognised(tokenizer: HuggingFace, *, ignore_merges: bool) -> Recognised:
    """The pre-tokenizer that cuts hard texts as this tokenizer does.

    Some tokenizers (Falcon's) look for digits among the characters that stand for bytes, which nothing in
    llama.cpp does: the nearest is taken if it cuts all texts of ASCII alike.
    Raises BadInput when there is none.
    """
    texts = [_normalised(tokenizer, text) for text in HARD_TEXTS]
    expected = [_cuts(tokenizer.pre_tokenizer, text) for text in texts]
    others: dict[str, tuple[str, ...]] = {}
    for pre in dict.fromkeys(PRE_TOKENIZERS.values()):
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
        cutter = pre_tokenizers.Sequence(splits)
        actual = (_cuts(cutter, as_unicode_15(text)) for text in texts)
        differing = tuple(t for t, one, other in zip(texts, expected, actual, strict=True) if one != other)
        others |= {name: differing for name, known in PRE_TOKENIZERS.items() if known == pre}
    near = [name for name, differing in others.items() if not any(map(str.isascii, differing))]
    if not near:
        raise BadInput(
            f"the pre-tokenizer in {FILE} cuts texts as none of those that llama.cpp knows: "
            f"{json.dumps(json.loads(tokenizer.to_str()).get('pre_tokenizer'))}"
        )
    fewest = min(len(others[name]) for name in near)
    alike = [name for name in near if len(others[name]) == fewest]
    wanted = (name for name in alike if PRE_TOKENIZERS[name].ignore_merges == ignore_merges)
    name = next(wanted, alike[0])
    return Recognised(name, others[name])


def _normalised(tokenizer: HuggingFace, text: str) -> str:
    return text if tokenizer.normalizer is None else str(tokenizer.normalizer.normalize_str(text))


def _cuts(cutter: pre_tokenizers.PreTokenizer | None, text: str) -> list[tuple[int, int]]:
    """First character and last + 1 of every word."""
    return [] if cutter is None else [span for _, span in cutter.pre_tokenize_str(text)]


def _special(source: Source, config: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of special tokens, and which of them a prompt begins and ends with."""
    ids: dict[str, int | None] = {}
    for name, key in _SPECIAL.items():
        found = source.id_of(source.settings.get(key))
        ids[name] = found if found is not None else _first(config.get(f"{key}_id"))
    before, after = _added_by_the_file(source)
    if before:
        ids["bos"] = before[0]
    if after:
        ids["eos"] = after[0]
    adds_bos = bool(before) or bool(source.settings.get("add_bos_token") and ids["bos"] is not None)
    flags = {"add_bos_token": adds_bos, "add_eos_token": bool(after)}
    return {f"{name}_token_id": i for name, i in ids.items() if i is not None} | flags


def _first(given: Any) -> int | None:
    value = given[0] if isinstance(given, list) and given else given
    return value if isinstance(value, int) else None


def _added_by_the_file(source: Source) -> tuple[list[int], list[int]]:
    """What the post-processor puts before and behind a text."""
    plain = source.tokenizer.encode("a", add_special_tokens=False).ids
    whole = source.tokenizer.encode("a", add_special_tokens=True).ids
    start = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    before, after = whole[:start], whole[start + len(plain) :]
    if len(before) > 1 or len(after) > 1:
        raise BadInput(
            f"{FILE} puts {before} before and {after} behind a text; a GGUF file can name one of each"
        )
    return before, after


def _chat_template(source: Source) -> str | None:
    """chat_template.jinja, else what tokenizer_config.json has under this name; of several the default."""
    file = source.folder / _TEMPLATE
    if file.is_file():
        return file.read_text(encoding="utf-8")
    given = source.settings.get("chat_template")
    if isinstance(given, list):
        named = {each.get("name"): each.get("template") for each in given}
        given = named.get("default")
    return given if isinstance(given, str) else None


def _notes(source: Source, pre: Recognised) -> list[str]:
    notes = []
    if normalizer := source.definition.get("normalizer"):
        kind = normalizer.get("type")
        notes.append(f"{FILE} normalises texts ({kind}), which a GGUF file cannot say: engines will not")
    if pre.others:
        notes.append(
            f"{FILE} cuts texts almost as {pre.name!r} does, the nearest that engines know: "
            f"{len(pre.others)} of {len(HARD_TEXTS)} hard texts differ, such as {pre.others[0][:30]!r}"
        )
    return notes
