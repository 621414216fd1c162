"""`bitparity run`: greedy text, streamed whole characters, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bitparity import cli
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return str(path)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bitparity", "run", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_text_and_speed_go_to_their_own_streams(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [model, "--engine", "oracle", "--prompt", "Hello", "--max-tokens", "5", "--greedy"]
    assert run(monkeypatch, *words) == 0
    said = capsys.readouterr()
    assert "5 generated at" in said.err
    assert "tokens/s" not in said.out


def test_half_a_character_waits_for_the_other_half(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = iter([b"caf\xc3", b"\xa9 ", b"\xe2\x82", b"\xac", b"\xf0\x9f"])
    monkeypatch.setattr(Tokenizer, "decode_bytes", lambda self, ids: next(pieces))
    words = [model, "--engine", "oracle", "--tokens", "1", "--max-tokens", "5"]
    assert run(monkeypatch, *words) == 0
    assert capsys.readouterr().out == "café €\ufffd\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", ""], "the prompt is empty"),
        ([], "--prompt or --tokens"),
        (["--tokens", "999"], "outside the vocabulary"),
        (["--tokens", "1", "--max-tokens", "64"], "the context of oracle holds 64"),
        (["--tokens", "1", "--engine", "nobody"], "no engine is named"),
        (["--tokens", "1", "--trace-filter", "1:*"], "there is no layer 1; the model has the layers 0 to 0"),
        (["--prompt", "a", "--tokenizer", "no-such.json"], "no-such.json"),
    ],
)
def test_bad_use_is_one_sentence_and_exit_2(
    model: str,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, model, "--engine", "oracle", *words) == 2
    assert message in capsys.readouterr().err


def test_stages_go_to_the_trace_folder(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITNET_TRACE_DIR", str(tmp_path))
    words = [model, "--engine", "oracle", "--tokens", "1,2", "--max-tokens", "3"]
    assert run(monkeypatch, *words) == 0
    assert (tmp_path / "oracle" / "trace.jsonl").exists()
