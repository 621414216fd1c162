"""What the commands that run an engine do with the model and the tokenizer that they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as HuggingFace
from tokenizers import models, pre_tokenizers

from bitparity import cli
from bitparity.choose import choose_tokenizer
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return path


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    tokenizer = HuggingFace(models.BPE(vocab={"a": 5, "b": 6}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tok.json"))
    return tmp_path / "tok.json"


def test_external_tokenizer_prepends_the_bos_of_the_model(model_path: Path, tokenizer_json: Path) -> None:
    model = open_model(model_path)
    tokenizer = choose_tokenizer(tokenizer_json, model)
    assert tokenizer is not None
    ids = tokenizer.encode("ab", add_bos=True, parse_special=True)
    assert ids == [model.metadata["tokenizer.ggml.bos_token_id"], 5, 6]


def test_external_tokenizer_adds_no_bos_to_a_model_that_wants_none(
    model_path: Path, tokenizer_json: Path
) -> None:
    model = open_model(model_path)
    model.metadata["tokenizer.ggml.add_bos_token"] = False
    tokenizer = choose_tokenizer(tokenizer_json, model)
    assert tokenizer is not None
    assert tokenizer.encode("ab", add_bos=True, parse_special=True) == [5, 6]


@pytest.mark.parametrize("words", [["compare", "{model}", "--candidate", "oracle"], ["run", "{model}"]])
def test_debug_logits_tells_and_checks_the_weight_mapping(
    words: list[str],
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model_path.read_bytes())
    norm = open_model(model_path).weights.output_norm
    with broken.open("r+b") as file:
        file.seek(norm.offset)
        file.write(np.full(norm.shape, np.nan, "<f4").tobytes())
    monkeypatch.setenv("BITNET_DEBUG_LOGITS", "1")
    given = [word.format(model=broken) for word in words]
    engines = ["--reference", "oracle"] if "compare" in words else ["--engine", "oracle"]
    monkeypatch.setattr("sys.argv", ["bitparity", *given, *engines, "--tokens", "1,2"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "head: tied" in said
    assert norm.name in said
