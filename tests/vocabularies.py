"""Small vocabularies of every kind, trained here, and texts that are hard to cut."""

from __future__ import annotations

import json
from itertools import pairwise, product
from typing import Any
from unicodedata import category

from hypothesis import strategies as st
from tokenizers import Tokenizer as HuggingFace
from tokenizers import models, pre_tokenizers, trainers

from bitparity.tokenizer import unicode_16
from bitparity.tokenizer.byte_level import BYTE_OF

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
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


def changed(vocabulary: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A vocabulary with other metadata; a single score is that of every token."""
    scores = changes.get("tokenizer.ggml.scores")
    every = (
        {}
        if scores is None
        else {"tokenizer.ggml.scores": [scores] * len(vocabulary["tokenizer.ggml.tokens"])}
    )
    return vocabulary | changes | every


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
    # of all tokens, as bitnet.cpp's converter writes a vocabulary whose scores it does not find
    "sentencepiece of one score": {"tokenizer.ggml.scores": -1000.0},
}
