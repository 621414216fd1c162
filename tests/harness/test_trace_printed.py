"""Logs of tracers: statistics and first values, compared with a trace as far as they go."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli
from bitparity.engine import Floats
from bitparity.errors import BadInput
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.stage_map import StageMap
from bitparity.trace import diff_traces, read_trace
from bitparity.trace.printed import read_printed

STAGES = (("attn_norm", "normed"), ("ffn_act", "hidden"))


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the oracle gives at the stages that the log has."""
    folder = tmp_path_factory.mktemp("trace")
    make_model(folder / "tiny.gguf", ModelSpec(n_layer=2, n_vocab=320, context_length=64))
    with pytest.MonkeyPatch.context() as monkeypatch:
        filters: list[str | Path] = ["--trace-filter", "*:attn_norm,*:ffn_act", "--values", "--out", folder]
        words: list[str | Path] = ["--engine", "oracle", "--tokens", "5,6,7", *filters]
        assert bitparity(monkeypatch, "trace", folder / "tiny.gguf", *words) == 0
    return folder / "oracle"


@pytest.fixture
def log(trace: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the log of a tracer; alter changes the values of a stage, line says how a line is printed."""

    def write(alter: Callable[[str, int, Floats], Floats], line: Callable[[str, Floats], str]) -> Path:
        recorded = read_trace(trace)
        lines = ["loading …", "normed of nothing"]
        for layer in (0, 1):
            for position in range(3):
                for stage, name in STAGES:
                    values = alter(stage, layer, recorded.value(layer, stage, position))
                    lines.append(
                        f"{name} pos={position} layer={layer} dim={values.size} {line(name, values)}"
                    )
        (tmp_path / "tracer.log").write_text("\n".join([*lines, "done"]))
        (tmp_path / "my.stages").write_text("".join(f"{name} = {stage}\n" for stage, name in STAGES))
        return tmp_path / "tracer.log"

    return write


def same(stage: str, layer: int, values: Floats) -> Floats:
    return values


def slightly(stage: str, layer: int, values: Floats) -> Floats:
    return values * np.float32(1.0001 if (stage, layer) == ("ffn_act", 1) else 1)


def sums(name: str, values: Floats) -> str:
    first = ",".join(f"{value:.7g}" for value in values[:8])
    extremes = f"min={values.min():.7g} max={values.max():.7g}"
    return f"sum={values.sum():.7g} ss={np.square(values).sum():.7g} {extremes} first={first}"


def rms_only(name: str, values: Floats) -> str:
    return f"rms={np.sqrt(np.square(values).mean()):.7g}"


@pytest.mark.parametrize("line", [sums, rms_only])
def test_log_of_the_same_values_is_equal_and_another_is_not(
    line: Callable[[str, Floats], str],
    log: Callable[..., Path],
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = log(same, line)
    names: list[str | Path] = ["--stage-map", path.parent / "my.stages"]
    assert bitparity(monkeypatch, "trace-diff", trace, path, *names) == 0
    assert "equal: oracle" in capsys.readouterr().out
    assert bitparity(monkeypatch, "trace-diff", trace, log(slightly, line), *names) == 1
    said = capsys.readouterr().out
    assert "of 12 rows compared 3 differ" in said
    assert "position 0, layer 1 ffn_act: what was printed differs by 0.0001 (relative)" in said


def test_first_values_alone_tell_two_signs_apart(log: Callable[..., Path], trace: Path) -> None:
    """The RMS of a vector with its signs turned is the same."""
    path = log(lambda stage, layer, values: -values, lambda name, values: sums(name, values))
    names = StageMap(tuple((re.compile(name), stage) for stage, name in STAGES))
    diff = diff_traces(read_trace(trace), read_trace(path, names))
    assert len(diff.unequal) == 12
    assert diff.unequal[0].size == pytest.approx(2.0, rel=0.5)


def test_log_without_a_known_name_compares_nothing(
    log: Callable[..., Path], trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bitparity(monkeypatch, "trace-diff", trace, log(same, sums)) == 4


def test_number_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("attn_norm pos=0 layer=0 rms=1.5\nattn_norm pos=1 layer=0 rms=1,5\n")
    with pytest.raises(BadInput, match="line 2: could not convert string to float: '1,5'"):
        read_printed(path, StageMap())
