"""bitparity blame on stored traces, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitparity.model.bundled import bundled_model
from bitparity.oracle.engine import OracleEngine
from bitparity.trace import read_trace
from harness.blame_cases import (
    TOKENS,
    MakePath,
    blame_command,
    plant_oracle,
    write_trace,
)


def test_stored_traces_are_blamed_without_an_engine(path_of: MakePath, tmp_path: Path) -> None:
    path = path_of(arch="bitnet-b1.58")
    sound = write_trace(tmp_path, path, OracleEngine(), "sound")
    faulty = write_trace(tmp_path, path, plant_oracle("RoPE pairing"), "faulty")
    done = blame_command(sound, faulty, "--json", tmp_path / "blame.json")
    assert done.returncode == 1, done.stderr
    assert "oracle is wrong: layer 0, q_rope, from position 1: it rotates pairs" in done.stdout
    written = json.loads((tmp_path / "blame.json").read_text())
    assert written["guilty"]
    assert written["actual"]["causes"][0]["local"]["stage"] == "q_rope"
    assert blame_command(sound, sound, "--model", path).returncode == 0


@pytest.mark.parametrize("stages", ["5-2:*", "2:*"])
def test_stages_that_the_model_does_not_have_are_refused(
    path_of: MakePath, tmp_path: Path, stages: str
) -> None:
    trace = write_trace(tmp_path, path_of(), OracleEngine(), "sound")
    done = blame_command(trace, trace, "--stages", stages)
    assert done.returncode == 2
    assert f"trace filter {stages!r}: " in done.stderr


def test_traces_of_different_tokens_are_refused(path_of: MakePath, tmp_path: Path) -> None:
    path = path_of()
    traces = [write_trace(tmp_path, path, OracleEngine(), run) for run in ("one", "two")]
    meta = traces[1] / "meta.json"
    meta.write_text(meta.read_text().replace(str(TOKENS[0]), "1", 1))
    assert read_trace(traces[1]).tokens != TOKENS
    done = blame_command(*traces)
    assert done.returncode == 2
    assert "traces of different tokens" in done.stderr


def test_model_of_stored_traces_may_be_a_bundled_one_by_name(tmp_path: Path) -> None:
    trace = write_trace(tmp_path, bundled_model(), OracleEngine(), "sound")
    assert blame_command(trace, trace, "--model", "bitnet", "--stages", "0:ffn_act").returncode == 0
