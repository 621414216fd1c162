"""`bitparity doctor` tells what is here from what is missing, and says what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitparity.cli.doctor import command
from bitparity.errors import EngineUnavailable, NotCompared
from bitparity_reference import llama_engine
from bitparity_reference.llama_cpp import LlamaCppEngine


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.mark.usefixtures("llama_cpp")
def test_doctor_names_every_engine_and_what_compare_would_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path))
    result = run("--json", str(tmp_path / "doctor.json"))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "doctor.json").read_text())
    assert {"native", "oracle", "bitnet.cpp", "llama.cpp"} <= set(found["engines"])
    assert found["engines"]["bitnet.cpp"]["found"] is False
    bridge = found["engines"]["llama.cpp"]["details"]["bridge"]
    assert bridge.startswith("will be compiled when first used, by ")
    assert found["compare"] == {"reference": "llama.cpp", "candidate": "native"}
    assert found["exit_code"] == 0
    assert "-> build bitnet.cpp by its own instructions" in result.output
    assert result.output.rstrip().endswith("`bitparity compare` would compare native with llama.cpp")


@pytest.mark.usefixtures("llama_cpp")
def test_doctor_reference_that_compare_would_take_but_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BITNET_CPP_DIR", str(tmp_path))
    result = run()
    assert result.exit_code == 0
    assert f"BITNET_CPP_DIR is {str(tmp_path)!r}, which is no bitnet.cpp tree" in result.output
    assert "would take bitnet.cpp as its reference, which is missing" in result.output


@pytest.fixture
def no_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the optional extra is not installed."""
    monkeypatch.setattr("bitparity_reference.transformers.engine._version", lambda package: None)


@pytest.mark.usefixtures("no_transformers")
def test_doctor_without_any_reference_is_exit_4(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)

    def find(self: object) -> None:
        raise EngineUnavailable("llama-cpp-python is not installed; type: pip install llama-cpp-python")

    monkeypatch.setattr(LlamaCppEngine, "find", find)
    result = run("--json", str(tmp_path / "doctor.json"))
    assert isinstance(result.exception, NotCompared)
    assert result.exception.exit_code == 4
    assert "-> type: pip install llama-cpp-python" in result.output
    assert "torch and transformers are not installed" in result.output
    assert json.loads((tmp_path / "doctor.json").read_text())["exit_code"] == 4


@pytest.mark.usefixtures("no_transformers")
def test_doctor_without_a_compiler_counts_a_reference_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_compiler() -> str:
        raise EngineUnavailable("no C++ compiler is on the PATH; install one")

    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    monkeypatch.setattr(llama_engine, "bridge_dir", lambda library, cache: find_compiler())
    assert isinstance(run().exception, NotCompared)
