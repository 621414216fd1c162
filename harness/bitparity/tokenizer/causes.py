"""Why two engines made other ids of one text: which of the known ways of tokenizing each of them took."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from bitparity.errors import BadInput
from bitparity.tokenizer.gguf_tokens import GgufTokens
from bitparity.tokenizer.pre_tokenizers import PRE_TOKENIZERS

_PRE, _PREFIX = "tokenizer.ggml.pre", "tokenizer.ggml.add_space_prefix"
_FORMS: tuple[Literal["NFC", "NFKC", "NFD", "NFKD"], ...] = ("NFC", "NFKC", "NFD", "NFKD")
_AS_TOLD = "does as the file says"
_SAME_NAME = "falcon3"  # which upstream cuts as llama-bpe, and bitnet.cpp in its own way


def cause_of_mismatch(
    metadata: Mapping[str, Any], text: str, made: Sequence[tuple[str, Sequence[int]]]
) -> str | None:
    """What the engines did, in a clause; None when what one of them did is not known.

    made  each engine and the ids that it made of the text, with what it added before and behind
    """
    try:
        vocabulary = GgufTokens(metadata)
        bare = [_without_bos(metadata, ids) for _, ids in made]
        ways = [_way(metadata, vocabulary, text, ids) for ids in bare]
    except BadInput:
        return None
    counts = [len(ids) - len(rest) for (_, ids), rest in zip(made, bare, strict=True)]
    if None in ways:
        return None
    begins = [f" and begins with {_times(count)}" if len(set(counts)) > 1 else "" for count in counts]
    said = [f"{engine} {way}{begin}" for (engine, _), way, begin in zip(made, ways, begins, strict=True)]
    same_name = metadata.get(_PRE) == _SAME_NAME and len(set(ways)) > 1
    note = f"; {_SAME_NAME!r} names one cut in llama.cpp and another in bitnet.cpp" if same_name else ""
    return ", ".join(said) + note


def _times(count: int) -> str:
    return {0: "no BOS", 1: "BOS", 2: "BOS twice"}.get(count, f"BOS {count} times")


def _without_bos(metadata: Mapping[str, Any], ids: Sequence[int]) -> list[int]:
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    first = next((i for i, token in enumerate(ids) if token != bos), len(ids))
    return list(ids[first:])


def _way(metadata: Mapping[str, Any], vocabulary: GgufTokens, text: str, ids: list[int]) -> str | None:
    ways = _ways(metadata, vocabulary, text)
    return next((words for words, make in ways if _without_bos(metadata, make()) == ids), None)


def _ways(
    metadata: Mapping[str, Any], vocabulary: GgufTokens, text: str
) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """Every known way, in words, and the ids that it makes, without BOS and EOS."""

    def encode(changed: str, tokens: GgufTokens = vocabulary, parse_special: bool = True) -> list[int]:
        return tokens.encode(changed, add_bos=False, parse_special=parse_special)

    def with_metadata(**changes: Any) -> GgufTokens:
        named = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
        return GgufTokens({**metadata, **named})

    yield _AS_TOLD, lambda: encode(text)
    yield "reads special tokens as plain text", lambda: encode(text, parse_special=False)
    yield "leaves out spaces after special tokens", lambda: _stripped_after_special(vocabulary, text)
    for form in _FORMS:
        words = f"normalises the text to {form}, as a tokenizer.json may say and a GGUF file cannot"
        yield words, lambda form=form: encode(unicodedata.normalize(form, text))  # type: ignore[misc]
    yield "makes the text lower case", lambda: encode(text.lower())
    yield "leaves out white space at both ends", lambda: encode(text.strip())
    if metadata.get("tokenizer.ggml.model") == "llama":
        other = not metadata.get(_PREFIX, True)
        words = f"{'adds a' if other else 'adds no'} space before the text"
        yield words, lambda: encode(text, with_metadata(add_space_prefix=other))
        return
    seen = set()
    for name, pre in PRE_TOKENIZERS.items():
        if pre not in seen:
            seen.add(pre)
            yield f"cuts as by {name!r}", lambda name=name: encode(text, with_metadata(pre=name))  # type: ignore[misc]


def _stripped_after_special(vocabulary: GgufTokens, text: str) -> list[int]:
    ids: list[int] = []
    for fragment in vocabulary.split(text):
        if isinstance(fragment, int):
            ids.append(fragment)
        else:
            kept = fragment.lstrip() if ids else fragment
            ids += vocabulary.encode(kept, add_bos=False, parse_special=False)
    return ids
