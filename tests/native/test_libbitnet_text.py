"""libbitnet's tokenizers give the ids of the Python ones, for every kind of vocabulary and hard texts."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFValueType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitparity.errors import BadInput
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.writer import bool_field, int32s_field, string_field, strings_field, uint32_field
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.pre_tokenizers import PRE_TOKENIZERS
from native.bitnet_library import BAD_INPUT, LIB, ids_of, last_error, load_model
from rewrite import rewrite
from vocabularies import (
    FLAGS,
    FRAGMENTS,
    NASTY,
    SENTENCEPIECE,
    borders_of_classes,
    changed,
    train_byte_level,
    train_sentencepiece,
    words_in_the_ids,
)

TABLE = Path(__file__).parents[2] / "native/src/library/unicode_table.inc"
RESERVED = "tokenizer.ggml."


def field_of(value: Any) -> bytes:
    match value:
        case bool():
            return bool_field(value)
        case int():
            return uint32_field(value)
        case str():
            return string_field(value)
        case [str(), *_]:
            return strings_field(value)
        case [float(), *_]:
            head = struct.pack("<IIQ", GGUFValueType.ARRAY, GGUFValueType.FLOAT32, len(value))
            return head + np.asarray(value, dtype="<f4").tobytes()
    return int32s_field(value)


def model_with(metadata: dict[str, Any], folder: Path) -> Path:
    """A small model with this vocabulary and nothing of its own."""
    make_model(
        folder / "plain.gguf",
        ModelSpec(n_vocab=len(metadata["tokenizer.ggml.tokens"]), n_layer=1, n_ff=256, head_format="F16"),
    )
    own = [key for key in GgufFile(folder / "plain.gguf").metadata if key.startswith(RESERVED)]
    fields = {key: field_of(value) for key, value in metadata.items()}
    return rewrite(folder / "plain.gguf", folder / "model.gguf", fields=fields, without=own)


def tokenize(model: int, text: str | bytes, add_bos: bool, parse_special: bool) -> list[int]:
    raw = text.encode() if isinstance(text, str) else text
    n = LIB.bitnet_tokenize(model, raw, len(raw), add_bos, parse_special, None, 0)
    assert n >= 0, last_error()
    ids = ids_of([-1] * n)
    assert LIB.bitnet_tokenize(model, raw, len(raw), add_bos, parse_special, ids, n) == n
    return list(ids)


def detokenize(model: int, ids: list[int]) -> bytes:
    n = LIB.bitnet_detokenize(model, ids_of(ids), len(ids), None, 0)
    assert n >= 0, last_error()
    text = ctypes.create_string_buffer(n + 1)
    assert LIB.bitnet_detokenize(model, ids_of(ids), len(ids), text, n) == n
    return text.raw[:n]


def assert_equal_ids(model: int, tokenizer: Tokenizer, text: str) -> None:
    for add_bos in (False, True):
        for parse_special in (False, True):
            expected = tokenizer.encode(text, add_bos=add_bos, parse_special=parse_special)
            actual = tokenize(model, text, add_bos, parse_special)
            assert actual == expected, f"{text!r}, add_bos={add_bos}, parse_special={parse_special}"


KINDS: dict[str, dict[str, Any]] = {
    **{name: {"tokenizer.ggml.pre": name} for name in PRE_TOKENIZERS},
    "no pre-tokenizer": {},
    **FLAGS,
    **SENTENCEPIECE,
}


@pytest.fixture(scope="module")
def trained() -> dict[str, dict[str, Any]]:
    return {"gpt2": train_byte_level(), "llama": train_sentencepiece()}


@pytest.fixture(scope="module", params=KINDS)
def both(
    request: pytest.FixtureRequest,
    trained: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[int, Tokenizer]]:
    name = request.param
    metadata = changed(trained["llama" if name in SENTENCEPIECE else "gpt2"], KINDS[name])
    model = load_model(model_with(metadata, tmp_path_factory.mktemp("vocabulary")))
    yield model, Tokenizer.from_gguf(metadata)
    LIB.bitnet_model_free(model)


def test_nasty_text_has_the_ids_of_the_python_tokenizer(both: tuple[int, Tokenizer]) -> None:
    for text in NASTY:
        assert_equal_ids(*both, text)


def test_random_text_has_the_ids_of_the_python_tokenizer(both: tuple[int, Tokenizer]) -> None:
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(FRAGMENTS, max_size=8).map("".join))
    def check(text: str) -> None:
        assert_equal_ids(*both, text)

    check()


def test_every_piece_has_the_bytes_of_the_python_tokenizer(both: tuple[int, Tokenizer]) -> None:
    model, tokenizer = both
    for token in range(tokenizer.n_vocab):
        assert detokenize(model, [token]) == tokenizer.decode_bytes([token])
    some = list(range(0, tokenizer.n_vocab, 3))
    assert detokenize(model, some) == tokenizer.decode_bytes(some)


def borders_of_the_table() -> list[str]:
    """The ends of every run of the C++ table, and what lies beside them."""
    ends = {int(code, 16) for code in re.findall(r"0x\w+", TABLE.read_text(encoding="ascii"))}
    codes = {code + step for code in ends for step in (-1, 0, 1)}
    return [chr(code) for code in sorted(codes) if code < 0x110000 and not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize("pre", ["gpt-2", "qwen35", "falcon"])  # letters and digits, marks, punctuation
def test_characters_are_of_the_class_that_they_have_in_python(pre: str, tmp_path: Path) -> None:
    metadata = words_in_the_ids() | {"tokenizer.ggml.pre": pre}
    model, tokenizer = load_model(model_with(metadata, tmp_path)), Tokenizer.from_gguf(metadata)
    for head in "b1!":
        text = "\n".join(head + c for c in [*borders_of_classes(), *borders_of_the_table()])
        expected = tokenizer.encode(text, add_bos=False, parse_special=False)
        assert tokenize(model, text, add_bos=False, parse_special=False) == expected
    LIB.bitnet_model_free(model)


@pytest.mark.parametrize("arch", ARCHS)
def test_bundled_vocabulary_gives_the_ids_of_the_python_tokenizer(arch: str) -> None:
    from bitparity.model import open_model

    model, metadata = load_model(bundled_model(arch)), open_model(bundled_model(arch)).metadata
    tokenizer = Tokenizer.from_gguf(metadata)
    for text in NASTY:
        assert_equal_ids(model, tokenizer, text)
    long = Path(__file__).read_text(encoding="utf-8")
    assert_equal_ids(model, tokenizer, long)
    ids = tokenize(model, long, add_bos=False, parse_special=False)
    assert detokenize(model, ids) == long.encode()
    bos, eos = (LIB.bitnet_special_token(model, which) for which in (0, 1))
    assert (bos, eos) == (metadata["tokenizer.ggml.bos_token_id"], metadata["tokenizer.ggml.eos_token_id"])
    assert [LIB.bitnet_is_end_token(model, token) for token in (eos, 5)] == [1, 0]
    assert LIB.bitnet_special_token(model, 7) == BAD_INPUT
    assert LIB.bitnet_token_text(model, 300).decode() == metadata["tokenizer.ggml.tokens"][300]
    assert LIB.bitnet_token_type(model, eos) == metadata["tokenizer.ggml.token_type"][eos]
    assert LIB.bitnet_token_type(model, tokenizer.n_vocab) == BAD_INPUT
    LIB.bitnet_model_free(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"pre": "smallest-bpe"},
        {"model": "rwkv"},
        {"token_type": [1, 2]},
        {"merges": ["h e x"]},
        {"merges": ["h e", "he"]},
        {"merges": ["h e", "Ġ zzz"]},
        {"model": "llama"},
    ],
    ids=str,
)
def test_vocabulary_that_python_refuses_is_refused(
    changes: dict[str, Any], trained: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    metadata = trained["gpt2"] | {"tokenizer.ggml.pre": "gpt-2"}
    metadata |= {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    with pytest.raises(BadInput) as caught:
        Tokenizer.from_gguf(metadata)
    model = load_model(model_with(metadata, tmp_path))
    assert LIB.bitnet_tokenize(model, b"x", 1, 0, 0, None, 0) == BAD_INPUT
    assert last_error().split()[1] == str(caught.value).split()[0]  # the key that is wrong
    LIB.bitnet_model_free(model)


@pytest.mark.parametrize(
    ("text", "at"),
    [(b"a\xff", 1), (b"\xed\xa0\x80", 0), (b"\xc3", 0), (b"\xf4\x90\x80\x80", 0), (b"\xc0\x80", 0)],
)
def test_text_that_is_not_utf8_is_refused(text: bytes, at: int) -> None:
    model = load_model(bundled_model())
    assert LIB.bitnet_tokenize(model, text, len(text), 0, 0, None, 0) == BAD_INPUT
    assert last_error() == f"bitnet_tokenize: the text is not UTF-8 at byte {at}"
    assert LIB.bitnet_detokenize(model, ids_of([99999]), 1, None, 0) == BAD_INPUT
    LIB.bitnet_model_free(model)
