"""Files as people have them, on the references: what checks say beforehand is what then happens."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bitparity import cli
from bitparity.model.bundled import bundled_model
from bitparity.model.writer import string_field
from bitparity.pytest_plugin import require_engine
from rewrite import rewrite
from shards import split_into

_TEXT = "It's 2026: f(x) == 12345, isn't it? The list's 3rd item"
# reference -> architecture and weight format of a bundled model that it runs
_RUNS = {"llama.cpp": ("bitnet", "TQ2_0"), "bitnet.cpp": ("bitnet-b1.58", "I2_S")}


@pytest.fixture(params=list(_RUNS))
def reference(request: pytest.FixtureRequest) -> str:
    return require_engine(request.config, request.param).name


def bundled(reference: str) -> Path:
    return bundled_model(*_RUNS[reference])


def compare(
    monkeypatch: pytest.MonkeyPatch, path: Path, reference: str, *words: str
) -> tuple[int, dict[str, Any]]:
    """Exit code and result of `bitparity compare`; no result when it ended before one."""
    result = path.with_suffix(".json")
    typed = ["bitparity", "compare", str(path), "--reference", reference, "--threads", "1", *words]
    monkeypatch.setattr(sys, "argv", [*typed, "--json", str(result)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0), json.loads(result.read_text()) if result.exists() else {}
    raise AssertionError("compare ends with its exit code")


@pytest.mark.parametrize("pre", [None, "", "default"])
def test_file_without_a_pre_tokenizer_gets_the_ids_of_the_reference(
    reference: str, pre: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "tokenizer.ggml.pre"
    fields = {} if pre is None else {key: string_field(pre)}
    path = rewrite(bundled(reference), tmp_path / "m.gguf", without=[key], fields=fields)
    code, result = compare(monkeypatch, path, reference, "--prompt", _TEXT)
    assert (code, result["verdict"]) == (0, "agree")
    assert [finding["subject"] for finding in result["findings"]] == ([] if pre else [key])


def test_model_in_shards_is_read_by_all_from_the_first(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = split_into(bundled(reference), 3, tmp_path)
    code, result = compare(monkeypatch, first, reference, "--prompt", _TEXT)
    assert (code, result["verdict"]) == (0, "agree")


def test_declared_activation_that_a_reference_does_not_run_is_told_and_found(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arch, _ = _RUNS[reference]
    runs, declared = ("SiLU", "relu2") if arch == "bitnet" else ("ReLU²", "silu")
    fields = {f"{arch}.hidden_activation": string_field(declared)}
    path = rewrite(bundled(reference), tmp_path / "m.gguf", fields=fields)
    code, result = compare(monkeypatch, path, reference, "--tokens", "1,2,3,4", "--blame")
    assert code == 1
    assert f"the file declares {declared}, " in result["findings"][0]["sentence"]
    assert result["blame"]["sentence"].startswith(f"{reference} is wrong: layer 0, ffn_act, from position 0")
    assert f"computes {runs} where" in result["blame"]["sentence"]


def test_cut_with_one_name_and_two_meanings_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_engine(pytestconfig, "llama.cpp")
    path = rewrite(
        bundled_model("bitnet", "TQ2_0"),
        tmp_path / "m.gguf",
        fields={"tokenizer.ggml.pre": string_field("falcon3")},
    )
    assert compare(monkeypatch, path, "llama.cpp", "--prompt", _TEXT) == (3, {})
    assert (
        "llama.cpp cuts as by 'llama-bpe', native does as the file says; "
        "'falcon3' names one cut in llama.cpp and another in bitnet.cpp"
    ) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("norm", "weight_format"), [("output_norm.weight", "F16"), ("blk.1.ffn_sub_norm.weight", "BF16")]
)
def test_norm_that_a_reference_aborts_on_is_told_before_it_is_started(
    reference: str,
    norm: str,
    weight_format: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = rewrite(bundled(reference), tmp_path / "m.gguf", formats={norm: weight_format})
    assert compare(monkeypatch, path, reference, "--tokens", "1,2") == (4, {})
    assert f"tensor {norm} is {weight_format}" in capsys.readouterr().err
    code, result = compare(monkeypatch, path, reference, "--tokens", "1,2", "--force")
    assert code == 5
    assert f"{reference} aborted" in result["failure"]
