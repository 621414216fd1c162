"""The adapters in examples/engines: each is compiled, keeps the contract and agrees with a reference."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bitparity import cli
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.pytest_plugin import require_engine

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "engines"
INCLUDE = ("-I", str(ROOT / "harness"), "-I", str(EXAMPLES / "toy"))
MOST_LINES = 60  # of an adapter
PROMISES = ("shapes", "causality", "two-sessions", "closing", "decode-is-prefill", "wrong-ids", "too-long")
TOKENS = "5,6,7,8,9,10,11,12"


def run(*command: str | Path, folder: Path, **variables: str) -> None:
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def compile_toy(folder: Path) -> None:
    run("cc", "-std=c99", "-O2", "-c", "-fPIC", EXAMPLES / "toy" / "toy.c", "-o", "toy.o", folder=folder)
    run("ar", "rcs", "libtoy.a", "toy.o", folder=folder)


def compile_c(folder: Path) -> None:
    warnings = ("-Wall", "-Wextra", "-Werror")
    sources = (EXAMPLES / "c" / "engine.c", EXAMPLES / "toy" / "toy.c")
    options = ("-std=c99", "-O2", *warnings, "-shared", "-fPIC", *INCLUDE)
    run("cc", *options, *sources, "-lm", "-o", "libengine.so", folder=folder)


def compile_cpp(folder: Path) -> None:
    compile_toy(folder)
    options = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *INCLUDE)
    run("c++", *options, EXAMPLES / "cpp" / "engine.cpp", "toy.o", "-o", "libengine.so", folder=folder)


def compile_rust(folder: Path) -> None:
    compile_toy(folder)
    options = ("-O", "--crate-type", "cdylib", "-L", ".", "-C", "link-arg=-lm")
    run("rustc", *options, EXAMPLES / "rust" / "engine.rs", "-o", "libengine.so", folder=folder)


def compile_go(folder: Path) -> None:
    compile_toy(folder)
    shutil.copy(EXAMPLES / "go" / "engine.go", folder)
    flags = {"CGO_CFLAGS": f"-I{EXAMPLES / 'toy'}", "CGO_LDFLAGS": f"-L{folder}", "GO111MODULE": "off"}
    run("go", "build", "-buildmode=c-shared", "-o", "libengine.so", "engine.go", folder=folder, **flags)


def compile_for_python(folder: Path) -> None:
    compile_toy(folder)
    run("cc", "-shared", "toy.o", "-lm", "-o", "libengine.so", folder=folder)


# language -> what it takes, how the page in docs/ compiles it, and what is typed for the engine
LANGUAGES: dict[str, tuple[Sequence[str], Callable[[Path], None], str]] = {
    "c": (("cc",), compile_c, "{library}"),
    "cpp": (("cc", "c++"), compile_cpp, "{library}"),
    "rust": (("cc", "rustc"), compile_rust, "{library}"),
    "go": (("cc", "go"), compile_go, "{library}"),
    "python": (("cc",), compile_for_python, "exec:" + sys.executable + " {program} {library}"),
}


@pytest.fixture(scope="module", params=LANGUAGES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is typed for the example in this language."""
    needs, compile_engine, typed = LANGUAGES[request.param]
    for program in needs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on the PATH")
    folder = tmp_path_factory.mktemp(request.param)
    compile_engine(folder)
    return typed.format(library=folder / "libengine.so", program=EXAMPLES / "python" / "engine.py")


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def against_llama_cpp(folder: Path, engine: str | Path) -> list[str | Path]:
    model = folder / "m.gguf"
    make_model(model, ModelSpec(weight_format="F32", n_layer=2, n_vocab=320, context_length=64))
    return ["compare", model, "--reference", "llama.cpp", "--candidate", engine, "--tokens", TOKENS]


def test_example_computes_what_a_real_reference_does(
    engine: str,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F16 instead of float32 in the KV cache makes 2.4e-7 here, of which the limit is 40 times."""
    require_engine(pytestconfig, "llama.cpp")
    assert bitparity(monkeypatch, *against_llama_cpp(tmp_path, engine), "--limit", "1e-5") == 0
    assert "llama.cpp agree at all 8 positions" in capsys.readouterr().out


def test_toy_is_told_to_be_right_with_another_kv_cache(
    tmp_path: Path,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_engine(pytestconfig, "llama.cpp")
    if shutil.which("cc") is None:
        pytest.skip("there is no cc on the PATH")
    compile_c(tmp_path)
    assert bitparity(monkeypatch, *against_llama_cpp(tmp_path, tmp_path / "libengine.so")) == 0
    assert re.search(r"EXPLAINED +engine is right: it keeps K and V in float32", capsys.readouterr().out)


def test_example_keeps_the_contract(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(tmp_path / "m.gguf", ModelSpec(weight_format="F32", n_layer=1, n_vocab=320, context_length=64))
    shown = [word for name in PROMISES for word in ("--only", name)]
    assert bitparity(monkeypatch, "check-engine", engine, tmp_path / "m.gguf", *shown) == 0
    assert "keeps the contract" in capsys.readouterr().out


def test_example_says_why_it_opens_no_model(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(
        tmp_path / "m.gguf", ModelSpec(weight_format="I2_S", n_layer=1, n_vocab=320, context_length=64)
    )
    assert bitparity(monkeypatch, "check-engine", engine, tmp_path / "m.gguf") == 2
    assert "the toy reads F32 and F16 tensors only" in capsys.readouterr().err


@pytest.mark.parametrize("language", LANGUAGES)
def test_adapter_is_short(language: str) -> None:
    source = next((EXAMPLES / language).glob("engine.*")).read_text()
    code = [
        line
        for line in source.splitlines()
        if line.strip() and not line.strip().startswith(("//", "/*", "#"))
    ]
    assert len(code) <= MOST_LINES


def test_stages_of_the_toy_arrive_under_its_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no cc on the PATH")
    compile_c(tmp_path)
    make_model(tmp_path / "m.gguf", ModelSpec(weight_format="F32", n_layer=2, n_vocab=320, context_length=64))
    stages: list[str | Path] = ["--stage-map", EXAMPLES / "toy" / "toy.stages"]
    library = tmp_path / "libengine.so"
    assert bitparity(monkeypatch, "check-engine", library, tmp_path / "m.gguf", *stages, "--only", "tap") == 0
    assert "20 of 21 stages; absent: attn_probs" in capsys.readouterr().out
