"""Kernel sets and arithmetic by name: in every command that opens an engine, refused where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bitparity import cli
from bitparity.compare.result import read_result
from bitparity.errors import BadInput
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.registry import configure, configure_each, get_engine, with_every_kernel_set
from bitparity.trace import read_trace


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return path


@pytest.fixture
def native_is_here() -> None:
    if not get_engine("native").availability().found:
        pytest.skip("native is not built")


class WithSets:
    """As far as choosing goes, an engine with two kernel sets and another choice."""

    def __init__(self, name: str = "strange", **chosen: str) -> None:
        self.name = name
        self.chosen = chosen

    def choices(self) -> Mapping[str, Sequence[str]]:
        return {"kernels": ["wide", "narrow"]}

    def configured(self, **chosen: str) -> WithSets:
        return WithSets(self.name, **{**self.chosen, **chosen})


class Plain:
    name = "plain"


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["bitparity", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_only_what_was_said_is_chosen() -> None:
    engine: Any = WithSets()
    assert configure(engine, kernels=None) is engine
    assert configure(engine, kernels="narrow").chosen == {"kernels": "narrow"}  # type: ignore[attr-defined]
    assert configure(engine, kernels="auto").chosen == {"kernels": "auto"}  # type: ignore[attr-defined]


def test_name_that_does_not_run_here_is_told_with_those_that_do() -> None:
    engine: Any = WithSets()
    with pytest.raises(BadInput, match=r"^strange has no kernel set 'avx9' here; there are wide, narrow$"):
        configure(engine, kernels="avx9")


def test_engine_without_kernel_sets_refuses_the_choice() -> None:
    engine: Any = Plain()
    with pytest.raises(
        BadInput, match=r"^plain has no kernel sets to choose from; leave out --kernels wide$"
    ):
        configure(engine, kernels="wide")
    assert configure(engine, kernels=None) is engine


def test_of_several_engines_those_are_configured_that_have_the_choice() -> None:
    engines: Any = [WithSets(), Plain()]
    strange, plain = configure_each(engines, kernels="narrow")
    assert strange.chosen == {"kernels": "narrow"}  # type: ignore[attr-defined]
    assert plain is engines[1]
    assert configure_each(engines, kernels=None) == engines
    with pytest.raises(
        BadInput, match=r"^no engine here \(plain\) has kernel sets; leave out --kernels wide$"
    ):
        configure_each(engines[1:], kernels="wide")


def test_every_kernel_set_is_an_engine_of_its_own() -> None:
    engine: Any = WithSets()
    every = with_every_kernel_set(engine)
    assert {name: each.chosen["kernels"] for name, each in every.items()} == {  # type: ignore[attr-defined]
        "strange/wide": "wide",
        "strange/narrow": "narrow",
    }
    plain: Any = Plain()
    assert with_every_kernel_set(plain) == {"plain": plain}


@pytest.mark.usefixtures("native_is_here")
def test_native_is_configured_without_forgetting_its_other_settings() -> None:
    native: Any = get_engine("native")
    faulty = native.with_faults(None, {"position_shift": 1})
    chosen = configure(faulty, kernels="portable")
    assert {**vars(chosen), "_kernels": "auto"} == vars(faulty)
    assert vars(chosen)["_kernels"] == "portable"


@pytest.mark.usefixtures("native_is_here")
def test_compare_runs_the_candidate_with_the_kernel_set_that_was_named(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tmp_path / "result.json"
    words = ("compare", model_path, "--reference", "oracle", "--tokens", "1,2,3", "--limit", "0.001")
    assert run(monkeypatch, *words, "--kernels", "portable", "--json", result) == 0
    assert read_result(result).candidate["kernels"] == "portable"


@pytest.mark.usefixtures("native_is_here")
@pytest.mark.parametrize(
    ("said", "computed"),
    [((), "bitnet.cpp/avx2/clang"), (("--arithmetic", "llama.cpp/avx512"), "llama.cpp/avx512/gcc")],
)
def test_compare_takes_the_arithmetic_of_the_reference_unless_another_is_named(
    said: tuple[str, ...], computed: str, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle states bitnet.cpp's, whatever the weight format."""
    result = tmp_path / "result.json"
    words = ("compare", model_path, "--reference", "oracle", "--tokens", "1,2,3", "--limit", "0.001")
    assert run(monkeypatch, *words, *said, "--json", result) == 0
    assert read_result(result).candidate["details"]["arithmetic"] == computed


@pytest.mark.usefixtures("native_is_here")
def test_trace_records_the_arithmetic_that_was_named(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "trace",
        model_path,
        "--tokens",
        "1,2",
        "--out",
        tmp_path,
        "--arithmetic",
        "llama.cpp/avx512_bf16",
    )
    assert run(monkeypatch, *words) == 0
    details = read_trace(tmp_path / "native").meta["fingerprint"]["details"]
    assert details["arithmetic"] == "llama.cpp/avx512_bf16/gcc"


@pytest.mark.usefixtures("native_is_here")
def test_trace_records_the_kernel_set_that_was_named(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("trace", model_path, "--tokens", "1,2", "--out", tmp_path, "--kernels", "portable")
    assert run(monkeypatch, *words) == 0
    assert read_trace(tmp_path / "native").meta["fingerprint"]["kernels"] == "portable"


@pytest.mark.usefixtures("native_is_here")
def test_bench_times_the_kernel_set_that_was_named(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "bench",
        model_path,
        "--engine",
        "native",
        "--prefill",
        "2",
        "--depths",
        "0",
        "--decode-tokens",
        "1",
    )
    result = tmp_path / "bench.json"
    assert run(monkeypatch, *words, "--repetitions", "1", "--kernels", "portable", "--json", result) == 0
    assert '"kernels": "portable"' in result.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "{model}", "--reference", "oracle", "--candidate", "oracle", "--tokens", "1,2"),
        ("run", "{model}", "--engine", "oracle", "--tokens", "1,2"),
        ("trace", "{model}", "--engine", "oracle", "--tokens", "1,2", "--out", "{out}"),
        ("bench", "{model}", "--engine", "oracle"),
        ("selftest", "--engine", "oracle"),
    ],
    ids=lambda words: words[0],
)
def test_command_with_an_engine_without_kernel_sets_exits_with_2(
    words: tuple[str, ...],
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = [word.format(model=model_path, out=tmp_path) for word in words]
    assert run(monkeypatch, *typed, "--kernels", "avx2") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "oracle" in said[0]
    assert said[0].endswith("leave out --kernels avx2")


@pytest.mark.usefixtures("native_is_here")
@pytest.mark.parametrize("words", [("run", "--tokens", "1"), ("selftest",), ("bench", "--engine", "native")])
def test_command_names_the_kernel_sets_that_run_here(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words, "--kernels", "avx9") == 2
    assert "native has no kernel set 'avx9' here; there are " in capsys.readouterr().err


@pytest.mark.usefixtures("native_is_here")
def test_command_names_the_arithmetic_that_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "run", "--tokens", "1", "--arithmetic", "fast") == 2
    assert "native has no arithmetic 'fast' here; there are bitnet.cpp, " in capsys.readouterr().err
