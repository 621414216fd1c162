"""Ids equal llama.cpp's for trained vocabularies of every kind, on nasty and on random text."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitparity.pytest_plugin import require_engine
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.pre_tokenizers import PRE_TOKENIZERS
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

# llama.cpp cuts falcon3 as llama-bpe, bitnet.cpp as we do (see pre_tokenizers.py); falcon_e is bitnet.cpp's.
NOT_UPSTREAM = {"falcon3", "falcon_e"}


class LlamaCppVocabulary:
    """A vocabulary as llama.cpp loads it."""

    def __init__(self, path: Path, llama_cpp: ModuleType) -> None:
        self._llama_cpp = llama_cpp
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self._model, f"llama.cpp does not load {path}"
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)

    def encode(self, text: str, add_bos: bool, parse_special: bool) -> list[int]:
        raw = text.encode()
        buffer = (ctypes.c_int32 * (2 * len(raw) + 16))()
        arguments = (raw, len(raw), buffer, len(buffer), add_bos, parse_special)
        count = self._llama_cpp.llama_tokenize(self._vocab, *arguments)
        assert count >= 0
        return list(buffer[:count])

    def piece_bytes(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        count = self._llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, True)
        return buffer.raw[:count]

    def close(self) -> None:
        self._llama_cpp.llama_model_free(self._model)


def write_vocabulary(path: Path, metadata: dict[str, Any]) -> None:
    """A GGUF without tensors."""
    writer = GGUFWriter(path, "llama")
    for key, value in metadata.items():
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case str():
                writer.add_string(key, value)
            case _:
                writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


BYTE_LEVEL = {
    name: {"tokenizer.ggml.pre": name} for name in sorted(PRE_TOKENIZERS) if name not in NOT_UPSTREAM
}


@pytest.fixture(scope="module")
def trained() -> dict[str, dict[str, Any]]:
    return {"gpt2": train_byte_level(), "llama": train_sentencepiece()}


@pytest.fixture(scope="module")
def llama_cpp(pytestconfig: pytest.Config) -> ModuleType:
    require_engine(pytestconfig, "llama.cpp")
    return import_module("llama_cpp")


@pytest.fixture(scope="module", params=[*BYTE_LEVEL, *FLAGS, *SENTENCEPIECE])
def both(
    llama_cpp: ModuleType,
    request: pytest.FixtureRequest,
    trained: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LlamaCppVocabulary, Tokenizer]]:
    name = request.param
    base = trained["llama" if name in SENTENCEPIECE else "gpt2"]
    metadata = changed(base, (BYTE_LEVEL | FLAGS | SENTENCEPIECE)[name])
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.gguf"
    write_vocabulary(path, metadata)
    reference = LlamaCppVocabulary(path, llama_cpp)
    yield reference, Tokenizer.from_gguf(metadata)
    reference.close()


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def assert_equal_ids(reference: LlamaCppVocabulary, tokenizer: Tokenizer, text: str) -> None:
    for add_bos in (False, True):
        for parse_special in (False, True):
            expected = reference.encode(text, add_bos, parse_special)
            actual = tokenizer.encode(text, add_bos=add_bos, parse_special=parse_special)
            assert actual == expected, f"{text!r}, add_bos={add_bos}, parse_special={parse_special}"


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_text_has_the_ids_of_llama_cpp(both: tuple[LlamaCppVocabulary, Tokenizer], text: str) -> None:
    assert_equal_ids(*both, text)


def test_random_text_has_the_ids_of_llama_cpp(both: tuple[LlamaCppVocabulary, Tokenizer]) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(FRAGMENTS, max_size=8).map("".join))
    def check(text: str) -> None:
        assert_equal_ids(*both, text)

    check()


@pytest.mark.parametrize("pre", ["gpt-2", "qwen35", "falcon"])  # letters and digits, marks, punctuation
def test_characters_are_of_the_class_that_they_are_of_in_llama_cpp(
    llama_cpp: ModuleType, pre: str, tmp_path: Path
) -> None:
    metadata = words_in_the_ids() | {"tokenizer.ggml.pre": pre}
    write_vocabulary(tmp_path / "vocabulary.gguf", metadata)
    reference = LlamaCppVocabulary(tmp_path / "vocabulary.gguf", llama_cpp)
    tokenizer = Tokenizer.from_gguf(metadata)
    for characters in batched(borders_of_classes(), 64):
        for head in "b1!":
            assert_equal_ids(reference, tokenizer, "\n".join(head + c for c in characters))
    reference.close()


def test_every_piece_has_the_bytes_of_llama_cpp(both: tuple[LlamaCppVocabulary, Tokenizer]) -> None:
    reference, tokenizer = both
    assert tokenizer.n_vocab == reference.n_vocab > 400
    assert [tokenizer.decode_bytes([i]) for i in range(tokenizer.n_vocab)] == [
        reference.piece_bytes(i) for i in range(reference.n_vocab)
    ]
