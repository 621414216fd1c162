"""`bitparity bench` as it is typed, with oracles for engines."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from bitparity import cli
from bitparity.bench import run
from bitparity.cli.bench import default_lanes
from bitparity.model.synthetic import ModelSpec, make_model

SHORT = ["--prefill", "4", "--depths", "0,5", "--decode-tokens", "2", "--repetitions", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`twin` holds the weights of `one` under another name, `other` has its own."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("one", 0), ("twin", 0), ("other", 1)):
        make_model(folder / f"{name}.gguf", ModelSpec(n_layer=1, seed=seed, context_length=64))
    return {name: str(folder / f"{name}.gguf") for name in ("one", "twin", "other")}


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("bitparity.bench.bandwidth._SMALLEST", 2**22)
    monkeypatch.setattr("bitparity.bench.bandwidth._LARGEST", 2**22)


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", "bench", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_twin_lanes_are_timed_and_kept_as_json(
    models: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = tmp_path / "bench.json"
    lanes = ["--engine", "oracle", "--engine", f"oracle={models['twin']}"]
    assert bitparity(monkeypatch, models["one"], *lanes, *SHORT, "--json", str(kept)) == 0
    said = capsys.readouterr().out
    for row in (
        "load, s",
        "prefill 4",
        "decode at 0",
        "decode at 5",
        "peak memory",
    ):
        assert row in said
    assert "oracle and oracle agree at all 24 positions" in said
    assert "repeat: bitparity bench " in said
    assert "--depths 0,5" in said
    document = json.loads(kept.read_text())
    assert document["reference"] == "oracle one"
    assert [lane["label"] for lane in document["lanes"]] == ["oracle one", "oracle twin"]
    for lane in document["lanes"]:
        assert list(lane["prefill_tokens_per_second"]) == ["4"]
        assert list(lane["decode"]) == ["0", "5"]
        rates = lane["decode"]["5"]["tokens_per_second"]
        assert 0.0 < rates["min"] <= rates["median"] <= rates["max"]
        assert lane["fingerprint"]["threads"] == 1


def test_lanes_that_disagree_exit_1(
    models: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lanes = ["--engine", f"oracle={models['one']}", "--engine", f"oracle={models['other']}"]
    assert bitparity(monkeypatch, *lanes, *SHORT) == 1
    assert "bitparity: nothing was timed, because the outputs do not agree" in capsys.readouterr().err


def test_single_engine_says_that_nothing_was_compared(
    models: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        bitparity(monkeypatch, models["one"], "--engine", "oracle", "--prefill", "4", "--repetitions", "1")
        == 0
    )
    said = capsys.readouterr().out
    assert "a single engine: its outputs were compared with nothing" in said
    assert "decode at 0" in said
    assert "decode at 1024" not in said  # nobody asked for it and the model is too short


def test_no_reference_exits_4(
    models: dict[str, str],
    fake_engine: Any,
    announce: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An engine that does not say that it is a reference is none, although it was found."""
    monkeypatch.setattr("bitparity.registry.entry_points", only("native", "oracle"))
    announce(fake_engine("stranger"))
    assert bitparity(monkeypatch, models["one"]) == 4
    assert "fewer than two engines run" in capsys.readouterr().err


def only(*names: str) -> Callable[..., list[Any]]:
    """entry_points of these engines alone."""

    def found(*, group: str) -> list[Any]:
        return [point for point in entry_points(group=group) if point.name in names]

    return found


@pytest.mark.parametrize(
    ("model", "lanes", "weight_format"),
    [
        ("bitnet-b1.58", ["native", "both"], "I2_S"),
        ("bitnet", ["native", "bitnet alone", "both"], "I2_S"),
        (None, ["native", "bitnet alone", "both"], "I2_S"),
    ],
)
def test_default_engines_are_the_references_that_run_the_model(
    model: str | None,
    lanes: list[str],
    weight_format: str,
    fake_engine: Any,
    announce: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bitparity.registry.entry_points", only("native"))
    announce(fake_engine("both", role="reference"))
    announce(fake_engine("bitnet alone", role="reference", refuses="bitnet-b1.58"))
    announce(fake_engine("missing", role="reference", found=False))
    announce(fake_engine("broken", role="reference", raises_in="availability"))
    announce(fake_engine("stranger"))
    found = default_lanes(model, {})
    assert [lane.label for lane in found] == lanes
    assert {lane.model.weights.layers[0]["q"].format for lane in found} == {weight_format}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prefill", "4,x"], "'x' is no whole number from 1"),
        (["--prefill", "0"], "'0' is no whole number from 1"),
        (["--depths", "0,"], "'' is no whole number from 0"),
        (["--depths", "64"], "holds 64 positions and 80 are needed"),
        (["--engine", "oracle"], "--engine oracle was given twice"),
        (["--engine", "nobody"], "no engine is named 'nobody'"),
    ],
)
def test_bad_use_exits_2_in_one_sentence(
    words: list[str],
    said: str,
    models: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bitparity(monkeypatch, models["one"], "--engine", "oracle", *words) == 2
    assert said in capsys.readouterr().err


def test_failed_engine_in_the_middle_exits_5_and_keeps_the_rest(
    models: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bitparity.bench.child import ChildTimer

    def die(timer: Any, tokens: Any, depth: int) -> float:
        os.kill(timer.worker.process_id, signal.SIGKILL)
        return float(timer.worker.call("decode", tokens, depth))

    monkeypatch.setattr(ChildTimer, "decode", die)
    kept = tmp_path / "bench.json"
    assert bitparity(monkeypatch, models["one"], "--engine", "oracle", *SHORT, "--json", str(kept)) == 5
    said = capsys.readouterr()
    assert "bitparity: oracle was killed (SIGKILL)" in said.err
    assert "prefill 4" in said.out
    assert "decode at" not in said.out
    document = json.loads(kept.read_text())
    assert document["failure"] == "oracle was killed (SIGKILL), as Linux does when memory runs out"
    assert list(document["lanes"][0]["prefill_tokens_per_second"]) == ["4"]
