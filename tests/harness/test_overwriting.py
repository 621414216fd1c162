"""Nothing overwrites its input, whatever the command and however the file is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from bitparity.cli import COMMANDS, group, main
from bitparity.cli.overwriting import OUTPUTS
from bitparity.errors import BadInput
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model

Run = Callable[..., tuple[int, str]]
ORACLES = ["--reference", "oracle", "--candidate", "oracle", "--limit", "1", "--tokens", "1"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """run("inspect", path) -> (exit code, standard error)"""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    make_model(tmp_path / "x.gguf", ModelSpec(n_layer=1))
    return tmp_path / "x.gguf"


def names_of(model: Path) -> list[Path]:
    """Other names of the same file."""
    symbolic, hard, folder = (model.with_name(name) for name in ("symbolic", "hard", "folder"))
    symbolic.symlink_to(model)
    os.link(model, hard)
    folder.symlink_to(model.parent)
    return [model, symbolic, hard, folder / model.name, Path(os.path.relpath(model))]


def test_quantize_refuses_its_source_by_any_name(model: Path, run: Run) -> None:
    content = model.read_bytes()
    for name in names_of(model):
        code, said = run("quantize", model, name, "--to", "TQ2_0")
        assert (code, f"{name} would overwrite {model}, which is read" in said) == (2, True), name
        code, said = run("quantize", name, model, "--to", "TQ2_0")
        assert (code, f"{model} would overwrite {name}" in said) == (2, True), name
        with pytest.raises(BadInput, match="would overwrite"):
            convert(model, name, "TQ2_0")
    assert model.read_bytes() == content


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "{x}", "--json", "{x}"],
        ["inspect", "bitnet", "--layout", "blk.0.ffn_up.weight", "--like", "{x}", "--json", "{x}"],
        ["inspect", "bitnet", "--kernel-config", "{x}", "--json", "{x}"],
        ["quantize", "{x}", "{x}.new", "--to", "F32", "--json", "{x}"],
        ["verify-weights", "bitnet", "{x}", "--json", "{x}"],
        ["trace", "{x}", "--engine", "oracle", "--tokens", "1", "--out", "{x}.traces", "--json", "{x}"],
        ["trace", "bitnet", "--engine", "oracle", "--tokens", "{x}", "--out", "{x}.traces", "--json", "{x}"],
        ["trace-diff", "{x}", "{x}", "--json", "{x}"],
        ["blame", "{x}", "{x}", "--json", "{x}"],
        ["blame", "{x}.one", "{x}.two", "--model", "{x}", "--json", "{x}"],
        ["compare", "{x}", *ORACLES, "--json", "{x}"],
        ["compare", "{x}", *ORACLES, "--html", "{x}"],
        ["compare", "{x}", *ORACLES, "--record", "{x}"],
        ["compare", "bitnet", "--reference-model", "{x}", *ORACLES, "--json", "{x}"],
        ["compare", "bitnet", "--prompts", "{x}", *ORACLES, "--json", "{x}"],
        ["compare", "bitnet", "--reference", "{x}.npz", "--record", "{x}.npz"],
        ["bench", "{x}", "--json", "{x}"],
        ["bench", "--engine", "native={x}", "--json", "{x}"],
    ],
    ids=" ".join,
)
def test_command_refuses_to_write_over_what_it_reads(model: Path, run: Run, words: list[str]) -> None:
    model.with_name("x.gguf.npz").write_bytes(b"a recording")
    model.with_name("kernels.ini").write_text("[Kernels_0]\nm = 256\nk = 256\nbm = 32\nbk = 64\nbmm = 32\n")
    typed = [word.format(x=model) for word in words]
    if "--kernel-config" in words:
        typed = [word.replace("x.gguf", "kernels.ini") for word in typed]
    files = {file: file.read_bytes() for file in model.parent.iterdir()}
    code, said = run(*typed)
    assert code == 2
    assert "would overwrite" in said
    assert {file: file.read_bytes() for file in model.parent.iterdir()} == files


@pytest.mark.parametrize("name", ["trace.jsonl", "meta.json"])
def test_files_of_a_trace_that_is_read_are_not_written_over(
    model: Path, tmp_path: Path, run: Run, name: str
) -> None:
    trace = tmp_path / "out" / "oracle"
    assert run("trace", model, "--engine", "oracle", "--tokens", "1", "--out", trace.parent)[0] == 0
    code, said = run("trace-diff", trace, trace, "--json", trace / name)
    assert (code, "would overwrite" in said) == (2, True)
    for _ in range(2):  # what was written before may be written again
        assert run("trace-diff", trace, trace, "--json", trace / "diff.json")[0] == 0


def test_prompt_that_no_file_could_be_named_after_is_no_input(model: Path, tmp_path: Path, run: Run) -> None:
    words = ["--engine", "oracle", "--out", tmp_path / "out", "--json", tmp_path / "x.json"]
    (tmp_path / "x.json").touch()
    assert run("trace", model, "--prompt", "a" * 300, *words)[0] == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_names_a_file_to_write_is_known(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    written = {"--json", "--html", "--record"}
    for parameter in command.params:
        if written & set(parameter.opts) or parameter.name == "target":
            assert parameter.name in OUTPUTS
