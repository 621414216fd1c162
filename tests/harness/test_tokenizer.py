"""The tokenizer on its own: vocabularies small enough to be checked by eye, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as HuggingFace
from tokenizers import decoders, models, pre_tokenizers

from bitparity.errors import BadInput
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.byte_level import BYTE_OF

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


def byte_level_metadata(**changes: Any) -> dict[str, Any]:
    """All bytes, "he", "Ġhe" and three special tokens; None removes a key."""
    tokens = [*sorted(BYTE_OF, key=BYTE_OF.__getitem__), "he", "Ġhe", "<bos>", "<eos>", "<user>"]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * 258 + [CONTROL, CONTROL, USER_DEFINED],
        "tokenizer.ggml.merges": ["h e", "Ġ he"],
        "tokenizer.ggml.bos_token_id": 258,
        "tokenizer.ggml.eos_token_id": 259,
    }
    metadata |= {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    return {key: value for key, value in metadata.items() if value is not None}


def sentencepiece_metadata(**changes: Any) -> dict[str, Any]:
    """<unk> <s> </s>, 256 byte tokens, then ▁ a b ab ▁ab."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "a", "b", "ab", "▁ab"]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * 5,
        "tokenizer.ggml.scores": [0.0] * 259 + [-5.0, -4.0, -3.0, -1.0, -2.0],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    return metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}


def encode(
    tokenizer: Tokenizer, text: str, *, add_bos: bool = False, parse_special: bool = False
) -> list[int]:
    return tokenizer.encode(text, add_bos=add_bos, parse_special=parse_special)


def test_byte_level_merges_by_rank_and_keeps_the_space() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    assert encode(tokenizer, "he he") == [256, 257]
    assert encode(tokenizer, "é") == [0xC3, 0xA9]
    assert encode(tokenizer, "") == []


def test_byte_level_ignore_merges_takes_a_word_that_is_a_token() -> None:
    without_merges = byte_level_metadata(merges=[])
    assert encode(Tokenizer.from_gguf(without_merges), " he") == [257]
    words = without_merges | {"tokenizer.ggml.pre": "gpt-2"}
    assert encode(Tokenizer.from_gguf(words), " he") == [0x20, ord("h"), ord("e")]


def test_byte_level_character_without_token_separates_its_neighbours() -> None:
    metadata = byte_level_metadata(pre="gpt-2")
    metadata["tokenizer.ggml.tokens"][ord("x")] = "unreachable"
    assert encode(Tokenizer.from_gguf(metadata), "hxe") == [ord("h"), ord("e")]


@pytest.mark.parametrize(
    ("pre", "digits"),
    [
        ("llama-bpe", [["1", "2", "3"], ["4"]]),
        ("qwen2", [["1"], ["2"], ["3"], ["4"]]),
        ("gpt-2", [["1", "2", "3", "4"]]),
        ("starcoder", [["1"], ["2"], ["3"], ["4"]]),
        ("falcon", [["1", "2", "3"], ["4"]]),
        ("falcon3", [["1"], ["2"], ["3"], ["4"]]),
    ],
)
def test_pre_tokenizer_cuts_digits_its_own_way(pre: str, digits: list[list[str]]) -> None:
    """Every run of digits is a token, so that the ids show the cuts."""
    runs = ["12", "123", "1234"]
    metadata = byte_level_metadata(pre=pre)
    metadata["tokenizer.ggml.tokens"] += runs
    metadata["tokenizer.ggml.token_type"] += [NORMAL] * len(runs)
    metadata["tokenizer.ggml.merges"] = ["1 2", "12 3", "123 4"]
    tokenizer = Tokenizer.from_gguf(metadata)
    assert [tokenizer.decode([i]) for i in encode(tokenizer, "1234")] == ["".join(d) for d in digits]


def test_bos_is_prepended_once_and_only_when_asked() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    assert encode(tokenizer, "he", add_bos=True) == [258, 256]
    assert encode(tokenizer, "", add_bos=True) == [258]
    assert encode(tokenizer, "he") == [256]


def test_bos_and_eos_follow_the_flags_of_the_file() -> None:
    no_bos = Tokenizer.from_gguf(byte_level_metadata(add_bos_token=False))
    assert encode(no_bos, "he", add_bos=True) == [256]
    both = Tokenizer.from_gguf(byte_level_metadata(add_eos_token=True))
    assert encode(both, "he", add_bos=True) == [258, 256, 259]
    words = Tokenizer.from_gguf(byte_level_metadata(pre="gpt-2"))
    assert encode(words, "he", add_bos=True) == [256]


def test_bos_in_the_text_is_doubled_as_the_reference_does() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    assert encode(tokenizer, "<bos>he", add_bos=True, parse_special=True) == [258, 258, 256]


def test_control_tokens_are_plain_text_unless_parsed() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    assert encode(tokenizer, "he<eos>he", parse_special=True) == [256, 259, 256]
    plain = encode(tokenizer, "he<eos>he")
    assert 259 not in plain
    assert tokenizer.decode(plain) == "he<eos>he"


def test_user_defined_tokens_are_always_found() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    assert encode(tokenizer, "<user>he") == [260, 256]


def test_longer_special_token_wins_over_one_inside_it() -> None:
    metadata = byte_level_metadata()
    metadata["tokenizer.ggml.tokens"] += ["<bos><eos>"]
    metadata["tokenizer.ggml.token_type"] += [CONTROL]
    assert encode(Tokenizer.from_gguf(metadata), "<bos><eos>", parse_special=True) == [261]


def test_decode_bytes_may_end_inside_a_character() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    first, second = encode(tokenizer, "é")
    assert tokenizer.decode_bytes([first]) == b"\xc3"
    assert tokenizer.decode([first]) == "\ufffd"
    assert tokenizer.decode([first, second]) == "é"
    assert tokenizer.decode([258]) == "<bos>"


def test_sentencepiece_joins_by_score_and_falls_back_to_bytes() -> None:
    tokenizer = Tokenizer.from_gguf(sentencepiece_metadata())
    space, a, ab, space_ab = 259, 260, 262, 263
    assert encode(tokenizer, "ab") == [space_ab]
    assert encode(tokenizer, "aab") == [space, a, ab]
    assert encode(tokenizer, "é") == [space, 3 + 0xC3, 3 + 0xA9]
    assert encode(tokenizer, "", add_bos=True) == [1]
    assert tokenizer.decode([space_ab, 3 + 0xC3, 3 + 0xA9]) == " abé"


def test_sentencepiece_space_is_added_at_the_start_and_after_special_tokens() -> None:
    with_space = Tokenizer.from_gguf(sentencepiece_metadata())
    assert encode(with_space, "ab</s>ab", add_bos=True, parse_special=True) == [1, 263, 2, 263]
    without = Tokenizer.from_gguf(sentencepiece_metadata(add_space_prefix=False))
    assert encode(without, "ab ab") == [262, 263]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pre": "smallest-bpe"}, "'smallest-bpe', which is not known"),
        ({"model": "rwkv"}, "'rwkv'"),
        ({"model": None}, "tokenizer.ggml.model is None"),
        ({"tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"token_type": [1, 2]}, "2 entries for 261 tokens"),
        ({"merges": ["h e x"]}, "not two words"),
        ({"merges": ["h e", "Ġ h e"]}, "'Ġ h e' is not two words"),
        ({"merges": ["h e", "he"]}, "'he' is not two words"),
        ({"merges": ["h x"]}, "needs the token 'hx'"),
        ({"merges": ["h e", "Ġh e"]}, "needs the token 'Ġh'"),
        ({"model": "llama"}, "tokenizer.ggml.scores has 0 entries for 261 tokens"),
    ],
)
def test_vocabulary_that_cannot_be_read_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        Tokenizer.from_gguf(byte_level_metadata(**changes))
    assert "\n" not in str(caught.value)


def test_missing_bos_is_reported_only_when_it_is_needed() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata(bos_token_id=None))
    assert encode(tokenizer, "he") == [256]
    with pytest.raises(BadInput, match="bos_token_id is missing"):
        encode(tokenizer, "he", add_bos=True)


def test_text_that_is_not_unicode_is_reported() -> None:
    with pytest.raises(BadInput, match=r"U\+D800, at character 1"):
        encode(Tokenizer.from_gguf(byte_level_metadata()), "a\ud800")


@pytest.mark.parametrize("token", [-1, 261])
def test_token_outside_the_vocabulary_is_reported(token: int) -> None:
    with pytest.raises(BadInput, match=f"token {token} is outside the vocabulary of 261"):
        Tokenizer.from_gguf(byte_level_metadata()).decode([token])


# ---------------------------------------------------------------------------------------- tokenizer.json


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    tokenizer = HuggingFace(models.BPE({c: b for c, b in BYTE_OF.items()} | {"he": 256}, [("h", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_file_tokenizer_round_trip(tokenizer_json: Path) -> None:
    tokenizer = Tokenizer.from_file(tokenizer_json)
    assert encode(tokenizer, "he é") == [256, 0x20, 0xC3, 0xA9]
    assert tokenizer.decode([256, 0x20, 0xC3, 0xA9, 257]) == "he é<eos>"
    assert tokenizer.n_vocab == 258


def test_file_tokenizer_parses_special_tokens_only_when_asked(tokenizer_json: Path) -> None:
    tokenizer = Tokenizer.from_file(tokenizer_json)
    assert encode(tokenizer, "<eos>", parse_special=True) == [257]
    assert encode(tokenizer, "<eos>") == [ord(c) for c in "<eos>"]


def test_file_tokenizer_prepends_the_bos_that_it_is_given(tokenizer_json: Path) -> None:
    assert encode(Tokenizer.from_file(tokenizer_json, bos=257), "he", add_bos=True) == [257, 256]
    assert encode(Tokenizer.from_file(tokenizer_json), "he", add_bos=True) == [256]


def test_file_that_is_no_tokenizer_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "tok.json"
    with pytest.raises(BadInput, match=r"tok\.json: cannot be read"):
        Tokenizer.from_file(path)
    path.write_text("{}")
    with pytest.raises(BadInput, match=r"tok\.json: is not a tokenizer\.json"):
        Tokenizer.from_file(path)
