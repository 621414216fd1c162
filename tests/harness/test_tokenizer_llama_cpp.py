"""Ids equal llama.cpp's for trained vocabularies of every kind, on nasty and on random text."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any
from unicodedata import category

import pytest
from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HuggingFace
from tokenizers import models, pre_tokenizers, trainers

from bitparity.pytest_plugin import require_engine
from bitparity.tokenizer import Tokenizer, unicode_16
from bitparity.tokenizer.byte_level import BYTE_OF
from bitparity.tokenizer.pre_tokenizers import PRE_TOKENIZERS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
# llama.cpp cuts falcon3 as llama-bpe, bitnet.cpp as we do (see pre_tokenizers.py); falcon_e is bitnet.cpp's.
NOT_UPSTREAM = {"falcon3", "falcon_e"}
CORPUS = [
    "The quick brown fox doesn't jump over 1234567890 lazy dogs; they're asleep, aren't they?\r\n\r\n",
    "def main(arguments: list[str]) -> int:\n    return sum(len(a) for a in arguments)  # 3.14e-10\n\n\n",
    "Zażółć gęślą jaźń. Größe, café, naïve; 日本語のテキスト, 한국어, русский текст, नमस्ते दुनिया 😀🇩🇪\n",
] * 20
NASTY = [
    "",
    " ",
    "   leading and trailing   ",
    "\t\ttabs\t",
    "\r\n\r\n x \n\n\n  y\rz",
    "I'm 'S DON'T we'LL 're'RE'Re''s \u017f '\u017f",
    "1234567890 12 3.14e-5 ½ ² ٣ १२३",
    "日本語のテキスト 한국어 नमस्ते مرحبا",
    "😀👩‍👩‍👧‍👦 🇩🇪 e\u0301 é \u0300",
    "\u00a0nbsp\u2003em\u3000wide \u0085 next",
    "\x00 nul \x01\x1c\x1f\x7f",
    "\ufeffBOM\ufffd \U0010ffff \U0001fae8",
    "<bos>hi<eos> <bos><bos> x<eos>",
    "<user><user> a <user>b< user>",
    "▁▁x ▁ Ġ Ċ",
    "``` $x+y=z^2~|` ```",
    "<0x0A> [EMPTY] <|endoftext|>",
    " " * 70 + "\n" * 70 + "a" * 300,
]
FRAGMENTS = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(max_codepoint=127), max_size=12),
    st.text(" \n\r\t\u00a0ab1'.<s>", max_size=12),
    st.sampled_from([*NASTY, *CORPUS[:3], " ", "  ", "\r\n", "<bos>", "<eos>", "<user>"]),
)


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


def train_byte_level() -> dict[str, Any]:
    trained = HuggingFace(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    )
    return bpe_metadata(trained) | {"tokenizer.ggml.model": "gpt2"}


def bpe_metadata(trained: HuggingFace) -> dict[str, Any]:
    bpe = json.loads(trained.to_str())["model"]
    tokens = [*sorted(bpe["vocab"], key=bpe["vocab"].__getitem__), "<bos>", "<eos>", "<user>"]
    return {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * (len(tokens) - 3) + [CONTROL, CONTROL, USER_DEFINED],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in bpe["merges"]],
        "tokenizer.ggml.bos_token_id": len(tokens) - 3,
        "tokenizer.ggml.eos_token_id": len(tokens) - 2,
    }


def words_in_the_ids() -> dict[str, Any]:
    """Every byte, and a merge of "b", "1" and "!" with each: the ids show what is in one word with them."""
    pairs = list(product("b1!", BYTE_OF))
    tokens = [*BYTE_OF, *map("".join, pairs), "<bos>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * (len(tokens) - 1) + [CONTROL],
        "tokenizer.ggml.merges": sorted(map(" ".join, pairs)),
        "tokenizer.ggml.bos_token_id": len(tokens) - 1,
    }


def borders_of_classes() -> list[str]:
    """Characters whose Unicode category is not that of the one before or after them."""
    codes = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    borders = {code for a, b in pairwise(codes) if category(chr(a)) != category(chr(b)) for code in (a, b)}
    borders |= {code + step for ends in unicode_16.RANGES for code in ends for step in (-1, 0, 1)}
    return list(map(chr, sorted(borders)))


def train_sentencepiece() -> dict[str, Any]:
    trained = HuggingFace(models.BPE())
    trained.train_from_iterator(
        [text.replace(" ", "▁") for text in CORPUS],
        trainers.BpeTrainer(vocab_size=600, limit_alphabet=80, max_token_length=10, show_progress=False),
    )
    pieces = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    special, byte_tokens = ["<unk>", "<bos>", "<eos>", "<user>"], [f"<0x{b:02X}>" for b in range(256)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*special, *byte_tokens, *pieces],
        "tokenizer.ggml.token_type": [UNKNOWN, CONTROL, CONTROL, USER_DEFINED]
        + [BYTE] * 256
        + [NORMAL] * len(pieces),
        "tokenizer.ggml.scores": [0.0] * 260 + [-float(rank) for rank in range(len(pieces))],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


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
FLAGS = {
    "llama-bpe without BOS": {"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False},
    "gpt-2 with BOS and EOS": {
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    },
}
SENTENCEPIECE: dict[str, dict[str, Any]] = {
    "sentencepiece": {},
    "sentencepiece without space": {"tokenizer.ggml.add_space_prefix": False},
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
    metadata = base | (BYTE_LEVEL | FLAGS | SENTENCEPIECE)[name]
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
