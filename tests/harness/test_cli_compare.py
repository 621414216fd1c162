"""`bitparity compare` as it is typed: every exit code, its sentence, and the files it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitparity import cli
from bitparity.compare.recorder import make_recording
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison
from bitparity.trace import read_trace, trace_runs

ORACLES = ["--reference", "oracle", "--candidate", "oracle", "--limit", "1e-4"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two models of one shape with other weights."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        make_model(folder / f"seed{seed}.gguf", ModelSpec(n_layer=1, seed=seed, context_length=64))
    return str(folder / "seed0.gguf"), str(folder / "seed1.gguf")


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_equal_engines_exit_0_and_say_so(
    models: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_file, page = tmp_path / "r.json", tmp_path / "r.html"
    words = [models[0], *ORACLES, "--prompt", "Hello world", "--chunks", "mixed", "--steps", "3"]
    assert bitparity(monkeypatch, "compare", *words, "--json", str(json_file), "--html", str(page)) == 0
    said = capsys.readouterr().out
    assert "AGREE  oracle and oracle agree at all" in said
    assert "repeat: bitparity compare " in said
    assert "--prompt 'Hello world'" in said
    assert json.loads(json_file.read_text())["prompts"][0]["generated"] == 3
    assert "<svg" in page.read_text()
    assert "http" not in page.read_text()  # self-contained


def test_other_weights_exit_1_at_the_first_position(
    models: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [models[0], "--candidate-model", models[1], *ORACLES, "--tokens", "5,6,7"]
    assert bitparity(monkeypatch, "compare", *words) == 1
    said = capsys.readouterr().out
    assert "DIVERGED" in said
    assert "the first is position 0:" in said


def test_blame_finds_a_wrong_stage_that_a_loose_limit_lets_pass(
    models: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other, json_file = tmp_path / "eps.gguf", tmp_path / "r.json"
    make_model(other, ModelSpec(n_layer=1, context_length=64, norm_eps=1e-3))
    words = [models[0], "--candidate-model", str(other), *ORACLES[:-1], "1.9", "--tokens", "5,6"]
    assert bitparity(monkeypatch, "compare", *words) == 0
    assert bitparity(monkeypatch, "compare", *words, "--blame", "--json", str(json_file)) == 1
    said = capsys.readouterr().out
    assert "oracle is wrong: layer 0, attn_norm, from position 0" in said
    assert "but a stage is wrong" in said
    assert json.loads(json_file.read_text())["blame"]["guilty"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", ""], "the prompt is empty"),
        (["--tokens", ""], "no token id"),
        (["--tokens", "1,512"], "id 512 at offset 1 is outside the vocabulary of oracle, which is 0 to 511"),
        (["--tokens", ",".join("1" * 65)], "65 tokens but the context of oracle holds 64"),
        (["--prompt", "a b c", "--context", "2"], "but the context of oracle holds 2"),
        (["--prompt", "a", "--tokens", "1"], "in one way"),
        (["--prompts", "no-such-file"], "no such file"),
        (["--chunks", "all"], "prefill, decode, mixed"),
        (["--trace-filter", "nosuchstage"], "no stage is named 'nosuchstage'"),
        (["--trace-filter", "1-0:*"], "the range 1-0 is empty"),
        (["--trace-filter", "9:*"], "there is no layer 9"),
        (["--reference", "nobody"], "no engine is named 'nobody'"),
        (["--reference", "nothing.npz"], "there is no such recording"),
        (["--tokens", "1", "--record", "r.npz"], "oracle says that its role is oracle"),
        (["--steps", "-1"], "--steps"),
    ],
)
def test_bad_use_is_one_sentence_and_exit_2(
    models: tuple[str, str],
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bitparity(monkeypatch, "compare", models[0], *ORACLES, *words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_no_model_file_is_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitparity(monkeypatch, "compare", "no-such.gguf", *ORACLES) == 2
    assert "no-such.gguf" in capsys.readouterr().err


def test_missing_reference_is_exit_4_and_says_what_to_do(
    models: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    assert bitparity(monkeypatch, "compare", models[0], "--reference", "bitnet.cpp") == 4
    assert "BITNET_CPP_DIR" in capsys.readouterr().err


def test_stages_go_to_the_trace_folder(
    models: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITNET_TRACE_DIR", str(tmp_path))
    words = [models[0], *ORACLES, "--tokens", "1,2,3", "--trace-filter", "*:attn_norm,-1:logits"]
    assert bitparity(monkeypatch, "compare", *words) == 0
    assert sorted(path.name for path in trace_runs(tmp_path)) == ["candidate-oracle", "reference-oracle"]
    trace = read_trace(tmp_path / "candidate-oracle")
    assert {record.stage for record in trace.records} == {"attn_norm", "logits"}


def test_recording_stands_in_for_its_engine(
    models: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The oracle plays a reference.  Its noise is not wanted here."""
    from bitparity.compare.prompts import Prompt
    from bitparity.compare.recording import save_recording
    from bitparity.model import open_model
    from bitparity.oracle.engine import OracleEngine
    from bitparity.settings import read_settings

    engine = OracleEngine()
    engine.name = engine.role = "reference"
    quiet = NoiseFloor("reference", (SelfComparison("self", "none", (Levels(),), {}),))
    monkeypatch.setattr("bitparity.compare.recorder.measure_noise", lambda *_, **__: quiet)
    path = tmp_path / "reference.npz"
    made = make_recording(
        engine, open_model(Path(models[0])), [Prompt(text="Hi there")], settings=read_settings()
    )
    save_recording(made, path)
    assert (
        bitparity(monkeypatch, "compare", models[0], "--reference", str(path), "--candidate", "oracle") == 0
    )
    assert "recording reference.npz" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    heavy = (
        "import sys, bitparity.cli;"
        "sys.exit(any(m in sys.modules for m in ('pandas', 'jinja2', 'rich', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", heavy], env=os.environ, check=False).returncode == 0


@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_a_device_is_that_of_one_side(
    models: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], side: str
) -> None:
    sides = ["--reference", "oracle", "--candidate", "native", "--tokens", "1,2,3"]
    assert bitparity(monkeypatch, "compare", models[0], *sides, f"--{side}-device-id", "7") == 2
    name = {"reference": "the oracle runs", "candidate": "this engine runs"}[side]
    assert f"device 7 was asked for, but {name} on the CPU only" in capsys.readouterr().err
