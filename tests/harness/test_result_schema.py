"""docs/reference/result.schema.json, by which anybody can read results, against results of every outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bitparity import cli
from bitparity.model.synthetic import ModelSpec, make_model

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json"
SIDES = ("--reference", "oracle", "--candidate", "native")


def checked(*files: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("check-jsonschema")
    if not program.is_file():
        pytest.skip("check-jsonschema, of the extra `lint`, is not installed")
    command = [str(program), "--schemafile", str(SCHEMA), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def result_of(monkeypatch: pytest.MonkeyPatch, file: Path, *words: str, exit_code: int) -> Path:
    """What `compare` writes for these words."""
    monkeypatch.setattr(sys, "argv", ["bitparity", "compare", *words, "--json", str(file)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == exit_code
    return file


def test_results_are_valid_and_a_changed_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"seed{seed}.gguf" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        make_model(path, ModelSpec(n_layer=1, seed=seed, context_length=64))
    own, other = map(str, paths)
    text = (own, *SIDES, "--prompt", "Hello world", "--chunks", "mixed", "--steps", "2")
    explained = (own, *SIDES, "--tokens", "1,2,3,4", "--arithmetic", "llama.cpp/avx512", "--blame")
    diverged = (own, *SIDES, "--tokens", "1,2,3", "--candidate-model", other, "--force", "--blame")
    files = [
        result_of(monkeypatch, tmp_path / "agree.json", *text, exit_code=0),
        result_of(monkeypatch, tmp_path / "explained.json", *explained, exit_code=0),
        result_of(monkeypatch, tmp_path / "diverged.json", *diverged, exit_code=1),
    ]
    done = checked(*files)
    assert done.returncode == 0, done.stdout
    data = json.loads(files[0].read_text())
    verdicts = [json.loads(file.read_text())["verdict"] for file in files]
    assert verdicts == ["agree", "explained", "diverged"]
    for change in ({"verdict": "fine"}, {"surprise": 1}, {"positions": [{"prompt": 0}]}):
        (tmp_path / "changed.json").write_text(json.dumps(data | change))
        assert checked(tmp_path / "changed.json").returncode == 1, change
