"""Why engines tokenize differently: each known way is recognised by the ids that it makes."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bitparity.compare.prompts import read_prompts, text_prompt
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.presets import PUBLISHED, shrunk
from bitparity.model.synthetic import make_model
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.causes import cause_of_mismatch

_TEXT = "It's 12345, isn't it? nai\u0308ve <|end_of_text|>  and so on"


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    return open_model(bundled_model()).metadata


def encode(metadata: dict[str, Any], text: str = _TEXT, *, special: bool = True, **changes: Any) -> list[int]:
    named = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    tokenizer = Tokenizer.from_gguf({**metadata, **named})
    return tokenizer.encode(text, add_bos=True, parse_special=special)


def test_other_cuts_are_named(metadata: dict[str, Any]) -> None:
    made = [("one", encode(metadata)), ("two", encode(metadata, pre="falcon3"))]
    assert cause_of_mismatch(metadata, _TEXT, made) == "one does as the file says, two cuts as by 'falcon3'"


def test_name_with_two_cuts_is_told(metadata: dict[str, Any]) -> None:
    falcon3 = {**metadata, "tokenizer.ggml.pre": "falcon3"}
    made = [("llama.cpp", encode(metadata, pre="llama-bpe")), ("native", encode(falcon3))]
    assert cause_of_mismatch(falcon3, _TEXT, made) == (
        "llama.cpp cuts as by 'llama-bpe', native does as the file says; "
        "'falcon3' names one cut in llama.cpp and another in bitnet.cpp"
    )


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_normaliser_of_a_tokenizer_json_is_named(metadata: dict[str, Any], form: Any) -> None:
    text = _TEXT + (" \ufb01" if form == "NFKC" else "")  # a ligature, which only NFKC takes apart
    made = [("one", encode(metadata, text)), ("two", encode(metadata, unicodedata.normalize(form, text)))]
    words = f"two normalises the text to {form}, as a tokenizer.json may say and a GGUF file cannot"
    assert cause_of_mismatch(metadata, text, made) == f"one does as the file says, {words}"


def test_spaces_left_out_after_special_tokens_are_named(metadata: dict[str, Any]) -> None:
    stripped = encode(metadata, _TEXT.replace("<|end_of_text|>  and", "<|end_of_text|>and"))
    cause = cause_of_mismatch(metadata, _TEXT, [("one", encode(metadata)), ("two", stripped)])
    assert cause == "one does as the file says, two leaves out spaces after special tokens"


def test_special_tokens_read_as_text_are_named(metadata: dict[str, Any]) -> None:
    plain = encode(metadata, special=False)
    cause = cause_of_mismatch(metadata, _TEXT, [("one", plain), ("two", encode(metadata))])
    assert cause == "one reads special tokens as plain text, two does as the file says"


def test_bos_twice_and_none_are_named(metadata: dict[str, Any]) -> None:
    bos, ids = metadata["tokenizer.ggml.bos_token_id"], encode(metadata)
    for other, words in (([bos, *ids], "begins with BOS twice"), (ids[1:], "begins with no BOS")):
        cause = cause_of_mismatch(metadata, _TEXT, [("one", ids), ("two", other)])
        assert cause is not None
        assert cause.startswith("one does as the file says and begins with BOS, two ")
        assert cause.endswith(words)


def test_space_before_a_sentencepiece_text_is_named(tmp_path: Path) -> None:
    make_model(tmp_path / "m.gguf", shrunk(PUBLISHED["bitnet_b1_58-large"].spec))
    metadata = open_model(tmp_path / "m.gguf").metadata
    made = [("one", encode(metadata)), ("two", encode(metadata, add_space_prefix=False))]
    assert cause_of_mismatch(metadata, _TEXT, made) == (
        "one does as the file says, two adds no space before the text"
    )


def test_unknown_ways_and_unreadable_vocabularies_explain_nothing(metadata: dict[str, Any]) -> None:
    ids = encode(metadata)
    assert cause_of_mismatch(metadata, _TEXT, [("one", ids), ("two", [*ids[:4], 7, *ids[4:]])]) is None
    assert cause_of_mismatch({}, _TEXT, [("one", ids), ("two", ids[1:])]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("caf\udce9", "it has the byte 0xE9, which is not UTF-8, at character 3"),  # as argv gives it
        ("\ud83d", "it has U+D83D, at character 0"),
    ],
)
def test_text_that_cannot_be_encoded_names_the_character(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words.replace("+", r"\+")):
        text_prompt(text)
    (tmp_path / "p.jsonl").write_text(json.dumps(text))
    with pytest.raises(BadInput, match=words.replace("+", r"\+")):
        read_prompts(tmp_path / "p.jsonl")
