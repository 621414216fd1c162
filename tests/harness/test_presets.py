"""Presets of published models: shape and metadata as in the published files."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import pytest

from bitparity.errors import BadInput
from bitparity.formats import get_format
from bitparity.model import open_model
from bitparity.model.checks import Severity, check_model
from bitparity.model.presets import PRESETS, PUBLISHED, preset_named, shrunk
from bitparity.model.synthetic import ModelSpec, make_model, planned_tensors
from bitparity.model.synthetic_vocabulary import make_vocabulary
from bitparity.tokenizer import Tokenizer

# billions of weights as people state them; the stated number of tensors, where a loader's listing is at hand
KNOWN = {
    "BitNet-b1.58-2B-4T": (2.4, 332),
    "BitNet-b1.58-2B-4T-bitnet-25": (2.7, 333),
    "bitnet_b1_58-large": (0.7, None),
    "bitnet_b1_58-3B": (3.3, None),
    "Llama3-8B-1.58-100B-tokens": (8.0, 291),
    "Falcon3-1B-Instruct-1.58bit": (1.67, None),
    "Falcon3-3B-Instruct-1.58bit": (3.23, None),
    "Falcon3-7B-Instruct-1.58bit": (7.46, None),
    "Falcon3-10B-Instruct-1.58bit": (10.3, None),
    "Falcon-E-1B-Base": (1.7, 219),
    "Falcon-E-1B-Instruct": (1.7, 219),
    "Falcon-E-3B-Base": (3.0, None),
    "Falcon-E-3B-Instruct": (3.0, None),
    "BitNet-embedding-0.6B": (0.596, None),
    "BitNet-embedding-270M": (0.268, None),
    "Ternary-Bonsai-1.7B": (1.72, None),
    "Ternary-Bonsai-4B": (4.02, None),
    "Ternary-Bonsai-8B": (8.19, None),
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_model_has_its_size(name: str) -> None:
    tensors = planned_tensors(PUBLISHED[name].spec)
    billions, count = KNOWN[name]
    assert sum(prod(tensor.shape) for tensor in tensors) / 1e9 == pytest.approx(billions, abs=0.06)
    assert count in (None, len(tensors))


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_shrunk_twin_has_the_metadata_of_the_published_file(name: str, tmp_path: Path) -> None:
    full, spec = PUBLISHED[name].spec, shrunk(PUBLISHED[name].spec)
    make_model(tmp_path / "m.gguf", spec)
    model = open_model(tmp_path / "m.gguf")
    metadata = model.metadata
    assert metadata["general.name"] == full.name
    assert model.hyper.arch == full.arch
    assert metadata.get("tokenizer.ggml.pre") == full.vocabulary.pre
    assert metadata["tokenizer.ggml.model"] == full.vocabulary.model
    assert metadata.get("tokenizer.ggml.add_bos_token") == full.vocabulary.add_bos
    assert metadata.get("tokenizer.ggml.add_eos_token") == full.vocabulary.add_eos
    assert metadata.get("tokenizer.ggml.add_space_prefix") == full.vocabulary.add_space_prefix
    assert ("tokenizer.ggml.bos_token_id" in metadata) == full.vocabulary.has_bos
    assert {t.format for t in model.tensors.values() if len(t.shape) == 1} == {full.norm_format}
    assert model.weights.token_embd.format == full.head_format
    assert metadata.get(f"{model.hyper.architecture.gguf_name}.pooling_type") == full.pooling_type
    assert ("pooled" in model.hyper.architecture.by_name) == (full.pooling_type is not None)
    assert (model.hyper.rope_base, model.hyper.norm_eps) == pytest.approx((full.rope_base, full.norm_eps))
    assert model.hyper.n_head * full.n_head_kv == model.hyper.n_head_kv * full.n_head
    assert model.weights.head_is_tied == full.tied
    tokenizer = Tokenizer.from_gguf(metadata)
    ids = tokenizer.encode("the 3 sets", add_bos=False, parse_special=True)
    assert tokenizer.decode(ids).strip() == "the 3 sets"
    stops = [f for f in check_model(model, engines=["bitnet.cpp"]) if f.severity is Severity.STOP]
    assert stops == []


def test_every_published_shape_can_be_packed() -> None:
    for published in PUBLISHED.values():
        for tensor in planned_tensors(published.spec):
            if len(tensor.shape) == 2:
                assert get_format(tensor.format).size(*tensor.shape) > 0


def test_sentencepiece_vocabulary_encodes_words_and_any_bytes(tmp_path: Path) -> None:
    vocabulary = make_vocabulary(2000, "llama")
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.scores) == 2000
    spec = replace(shrunk(PUBLISHED["bitnet_b1_58-large"].spec), n_vocab=2000)
    make_model(tmp_path / "m.gguf", spec)
    tokenizer = Tokenizer.from_gguf(open_model(tmp_path / "m.gguf").metadata)
    text = "the rest of it, na\u00efve \U0001f600\n12"
    ids = tokenizer.encode(text, add_bos=True, parse_special=False)
    assert ids[0] == vocabulary.bos
    assert tokenizer.decode(ids[1:]) == " " + text
    assert len(ids) < len(text.encode())


def test_preset_is_found_in_any_case_and_an_unknown_one_is_named() -> None:
    assert preset_named("bitnet-B1.58-2b-4t") is PUBLISHED["BitNet-b1.58-2B-4T"].spec
    assert preset_named("tiny") == PRESETS["tiny"] == ModelSpec()
    with pytest.raises(BadInput, match="no preset is named '2b'; there are tiny, small, llama-tiny, BitNet"):
        preset_named("2b")


def test_every_row_says_where_its_numbers_come_from() -> None:
    assert all(len(published.source) > 20 for published in PUBLISHED.values())
