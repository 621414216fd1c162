"""Vocabularies on which tokenizers choke, or that they read in another way than the file's author meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bitparity.errors import BadInput
from bitparity.model.checks.aborts import LLAMAS
from bitparity.model.checks.finding import Finding, Severity
from bitparity.model.types import Model
from bitparity.tokenizer.byte_level import CHARACTER_OF
from bitparity.tokenizer.cuts import what_a_cut_changes
from bitparity.tokenizer.pre_tokenizers import MISSING, ONLY_IN_THE_FORK, PRE_TOKENIZERS

_TOKENS = "tokenizer.ggml.tokens"
_A_TOKEN_EACH = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type")
_BYTE_LEVEL = "gpt2"
_SAMPLE = (
    "It's 2026: f(x) == 12345"  # a contraction, digits and punctuation, which cuts treat in different ways
)


def pre_tokenizer(model: Model, texts: Sequence[str]) -> Iterator[Finding]:
    """A byte-level vocabulary without the name of its pre-tokenizer, or with one that is not known here."""
    key, pre = "tokenizer.ggml.pre", model.metadata.get("tokenizer.ggml.pre")
    if model.metadata.get("tokenizer.ggml.model") != _BYTE_LEVEL:
        return
    if not pre:
        yield Finding(
            Severity.WARNING,
            key,
            f"{key} is missing: texts are cut as by {MISSING!r}, which is what llama.cpp and bitnet.cpp do; "
            f"{_other_cut(model, texts)}",
        )
    elif pre not in PRE_TOKENIZERS:
        yield Finding(
            Severity.WARNING,
            key,
            f"{key} is {pre!r}, which is not known here: texts cannot be compared; give token ids, or the "
            "model's tokenizer.json",
        )


def pre_tokenizer_of_the_fork(model: Model) -> Iterator[Finding]:
    """The name of a pre-tokenizer that only bitnet.cpp's llama.cpp of 2025 knows."""
    key, pre = "tokenizer.ggml.pre", model.metadata.get("tokenizer.ggml.pre")
    if pre in ONLY_IN_THE_FORK:
        sentence = f"{key} is {pre!r}, which llama.cpp does not know: it does not load such a file"
        yield Finding(Severity.STOP, key, sentence, ("llama.cpp",))


def characters_without_a_token(model: Model, texts: Sequence[str]) -> Iterator[Finding]:
    """A character of the texts that a byte-level vocabulary cannot spell: it is left out of the ids."""
    if model.metadata.get("tokenizer.ggml.model") != _BYTE_LEVEL or not texts:
        return
    tokens = set(model.metadata.get(_TOKENS, ()))
    for character in sorted({character for text in texts for character in text}):
        missing = [byte for byte in character.encode() if CHARACTER_OF[byte] not in tokens]
        if missing:
            yield Finding(
                Severity.WARNING,
                _TOKENS,
                f"{_TOKENS} has no token for the byte 0x{missing[0]:02X} of {character!r} "
                f"(U+{ord(character):04X}): unless a longer token covers it, it is left out of the ids",
            )


def _other_cut(model: Model, texts: Sequence[str]) -> str:
    """What the cut of Llama 3, whose vocabulary BitNet-b1.58-2B-4T has, would change in these texts."""
    try:
        return what_a_cut_changes(model.metadata, texts or (_SAMPLE,), "llama-bpe") + (
            "" if texts else f" in the text {_SAMPLE!r}"
        )
    except BadInput as error:
        return f"and they cannot be read here: {error}"


def array_lengths(model: Model) -> Iterator[Finding]:
    """Arrays with an entry a token that have more or fewer, and a vocabulary of another size."""
    tokens = model.metadata.get(_TOKENS)
    if tokens is None:
        return
    for key in _A_TOKEN_EACH:
        entries = model.metadata.get(key)
        if entries is not None and len(entries) != len(tokens):
            yield Finding(
                Severity.WARNING,
                key,
                f"{key} has {len(entries):,} entries for {len(tokens):,} tokens: texts cannot be compared",
            )
    if len(tokens) != model.hyper.n_vocab:
        yield Finding(
            Severity.WARNING,
            _TOKENS,
            f"{_TOKENS} has {len(tokens):,} entries, and the model {model.hyper.n_vocab:,} tokens: the ids "
            "beyond have no text, or no logits",
        )


def special_ids(model: Model) -> Iterator[Finding]:
    """Ids of special tokens that are outside the vocabulary."""
    names = ("bos", "eos", "unknown", "padding", "eot", "eom", "separator", "mask")
    for key in (f"tokenizer.ggml.{name}_token_id" for name in names):
        value = model.metadata.get(key)
        if value is not None and not 0 <= int(value) < model.hyper.n_vocab:
            yield Finding(
                Severity.WARNING,
                key,
                f"{key} is {value}, outside the {model.hyper.n_vocab:,} tokens: ignored",
            )


def repeated_tokens(model: Model) -> Iterator[Finding]:
    """A token that occurs twice: what each of its ids means is anybody's guess, and llama.cpp aborts."""
    counts = Counter(model.metadata.get(_TOKENS, ()))
    repeated = [token for token, count in counts.items() if count > 1 and token]
    if not repeated:
        return
    yield Finding(
        Severity.STOP,
        _TOKENS,
        f"{_TOKENS} has {repeated[0]!r} {counts[repeated[0]]} times ({len(repeated):,} such tokens): "
        f"{' and '.join(LLAMAS)} abort when they load it (id_to_token.size() == token_to_id.size())",
        LLAMAS,
    )


def missing_merges(model: Model) -> Iterator[Finding]:
    """A byte-level vocabulary without merges."""
    key = "tokenizer.ggml.merges"
    if model.metadata.get("tokenizer.ggml.model") != _BYTE_LEVEL or key in model.metadata:
        return
    yield Finding(
        Severity.STOP, key, f"{key} is missing: {' and '.join(LLAMAS)} do not load such a file", LLAMAS
    )
