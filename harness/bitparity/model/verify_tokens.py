"""Whether a file tokenizes as its checkpoint does: every token's bytes, and hard texts both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from bitparity.errors import BadInput
from bitparity.model.checkpoint.vocabulary import FILE, Source, open_tokenizer, recognised
from bitparity.model.types import Model
from bitparity.model.verify_metadata import Difference
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.causes import cause_of_mismatch
from bitparity.tokenizer.hard_texts import HARD_TEXTS
from bitparity.tokenizer.pre_tokenizers import MISSING, PRE_TOKENIZERS

_PRE, _TEMPLATE = "tokenizer.ggml.pre", "tokenizer.chat_template"
_OTHER_IDS = "the model is given other tokens than it was trained on"
_MOST_SHIFTED = 8
_ENDS = {
    "tokenizer.ggml.bos_token_id": "prompts begin with another token",
    "tokenizer.ggml.eos_token_id": "generation ends at another token, or does not end",
}


@dataclass(frozen=True)
class TokensFound:
    """tokens and texts that were compared, what differs, and notes on what has no effect on ids."""

    tokens: int
    texts: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


def compare_tokenizers(expected: Model, actual: Model) -> TokensFound:
    """Compare the tokenizer.json of a checkpoint, as its library runs it, with the vocabulary of a file."""
    try:
        source = open_tokenizer(expected.path, expected.hyper.n_vocab)
        theirs = Tokenizer.from_file(expected.path / FILE, bos=_bos(expected.metadata))
    except BadInput as error:
        return TokensFound(0, 0, (), (f"tokenizers were not compared: {error}",))
    try:
        ours = Tokenizer.from_gguf(actual.metadata)
        ours.encode("", add_bos=True, parse_special=True)  # a special token that is missing shows here
    except BadInput as error:
        return TokensFound(0, 0, (Difference("tokenizer", str(error), "engines cannot tokenize texts"),))
    pairs = _Pair(source, theirs, ours, actual.metadata, expected.metadata)
    found = [*pairs.tokens(), *pairs.pre_tokenizer(), *pairs.ends()]
    if not found:
        found = [*pairs.texts()]
    return TokensFound(theirs.n_vocab, len(pairs.hard_texts), tuple(found), tuple(pairs.notes()))


def _bos(metadata: Mapping[str, Any]) -> int | None:
    """What the checkpoint's settings add before a text where tokenizer.json itself adds nothing."""
    wanted = metadata.get("tokenizer.ggml.add_bos_token")
    return metadata.get("tokenizer.ggml.bos_token_id") if wanted else None


@dataclass(frozen=True)
class _Pair:
    """The tokenizer of a checkpoint and that of a file."""

    source: Source
    theirs: Tokenizer
    ours: Tokenizer
    metadata: Mapping[str, Any]
    expected: Mapping[str, Any]

    @property
    def hard_texts(self) -> list[str]:
        """Texts that a GGUF file can be asked about: normalised, and with special tokens in some."""
        special = [token.content for token in self.source.tokenizer.get_added_tokens_decoder().values()]
        mixed = [f"{special[0]}user{special[-1]} hi{special[0]}"] if special else []
        normalizer = self.source.tokenizer.normalizer if self.source.is_byte_level else None
        texts = [*HARD_TEXTS, *mixed]
        known = self._cut_otherwise()
        return [
            text if normalizer is None else str(normalizer.normalize_str(text))
            for text in texts
            if text not in known
        ]

    def _cut_otherwise(self) -> tuple[str, ...]:
        """Texts that no pre-tokenizer of llama.cpp cuts as this one does."""
        if not self.source.is_byte_level:
            return ()
        try:
            return recognised(self.source.tokenizer, ignore_merges=False).others
        except BadInput:
            return ()

    def tokens(self) -> Iterator[Difference]:
        """Ids that stand for other bytes."""
        count = min(self.theirs.n_vocab, self.ours.n_vocab)
        key = "tokenizer.ggml.tokens"
        one, other = (
            [tokenizer.decode_bytes([i]) for i in range(count)] for tokenizer in (self.theirs, self.ours)
        )
        wrong = [i for i in range(count) if one[i] != other[i] and one[i]]
        if wrong:
            first = wrong[0]
            by = _shift(one, other)
            shifted = f"; every token is moved by {by}" if by else ""
            yield Difference(
                key,
                f"{len(wrong):,} of {count:,} ids stand for other bytes, first {first}: {other[first]!r}, "
                f"and {one[first]!r} in the checkpoint{shifted}",
                _OTHER_IDS + ", and its answers are read wrongly",
            )
        if self.ours.n_vocab < self.theirs.n_vocab:
            message = f"{key} has {self.ours.n_vocab:,} tokens, and the checkpoint {self.theirs.n_vocab:,}"
            yield Difference(key, message, "the last tokens have no text")

    def pre_tokenizer(self) -> Iterator[Difference]:
        """A byte-level vocabulary whose words are cut in another way."""
        if self.metadata.get("tokenizer.ggml.model") != "gpt2" or _PRE not in self.expected:
            return
        wanted, given = str(self.expected[_PRE]), self.metadata.get(_PRE)
        taken = given or MISSING
        if PRE_TOKENIZERS.get(taken) == PRE_TOKENIZERS[wanted]:
            return
        said = f"{_PRE} is {given!r}" if given else f"{_PRE} is missing, so that engines take {MISSING!r}"
        other = [text for text in self.hard_texts if self._ids(text)[0] != self._ids(text)[1]]
        example = f", such as {other[0][:24]!r}" if other else ""
        effect = f"{len(other)} of {len(self.hard_texts)} hard texts get other ids{example}"
        yield Difference(_PRE, f"{said}, and the checkpoint cuts texts as {wanted!r}", effect)

    def ends(self) -> Iterator[Difference]:
        """What stands before and behind a text, and ends an answer."""
        for key, effect in _ENDS.items():
            wanted, given = self.expected.get(key), self.metadata.get(key)
            if wanted is not None and wanted != given:
                yield Difference(key, f"{key} is {given}, and {wanted} in the checkpoint", effect)
        expected, actual = self._ids("")
        if expected != actual:
            message = f"an empty text has the ids {actual}, and {expected} in the checkpoint"
            yield Difference("tokenizer.ggml.add_bos_token", message, "every prompt has other ends")

    def texts(self) -> Iterator[Difference]:
        """The first hard text that gets other ids, and why."""
        for text in self.hard_texts:
            expected, actual = self._ids(text)
            if expected != actual:
                at = next(i for i, (a, b) in enumerate(zip_longest(expected, actual)) if a != b)
                cause = cause_of_mismatch(
                    self.metadata, text, [("the file", actual), ("the checkpoint", expected)]
                )
                message = (
                    f"{text[:40]!r} gets other ids from offset {at} on: {actual[at : at + 4]}, and "
                    f"{expected[at : at + 4]} in the checkpoint" + (f"; {cause}" if cause else "")
                )
                yield Difference("tokenizer", message, _OTHER_IDS)
                return

    def notes(self) -> Iterator[str]:
        wanted, given = self.expected.get(_TEMPLATE), self.metadata.get(_TEMPLATE)
        if wanted != given:
            what = "another chat template than" if given else "no chat template, unlike"
            yield f"the file has {what} the checkpoint: programs that chat write other prompts"
        if self.source.definition.get("normalizer") and self.source.is_byte_level:
            yield f"{FILE} normalises texts, which engines do not; hard texts were normalised before"

    def _ids(self, text: str) -> tuple[list[int], list[int]]:
        both = (self.theirs, self.ours)
        one, other = (tokenizer.encode(text, add_bos=True, parse_special=True) for tokenizer in both)
        return one, other


def _shift(expected: Sequence[bytes], actual: Sequence[bytes]) -> int:
    """By how many ids all tokens are moved; 0 when it is not that."""
    for by in (shift for n in range(1, _MOST_SHIFTED + 1) for shift in (n, -n)):
        start, end = max(0, by), min(len(expected), len(expected) + by)
        if sum(actual[i] != expected[i - by] for i in range(start, end)) < len(expected) // 100 + 1:
            return by
    return 0
