"""What the command line does when something fails: an exit code that is no verdict, and one sentence."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from bitparity import cli
from bitparity.cli.output import OutputFile
from bitparity.compare.recording import RecordedSequence, Recording, save_recording
from bitparity.errors import BadInput
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison
from bitparity.output import check_writable, write_json


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_exception_that_nobody_foresaw_exits_70_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("bitparity.cli.doctor.command", broken)
    assert bitparity(monkeypatch, "doctor") == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1] == (
        "bitparity: bitparity itself failed (ZeroDivisionError: a bug); this is no verdict on an engine"
    )


def type_with_no_reader(*words: str) -> subprocess.CompletedProcess[str]:
    """As `bitparity ... | true`, where nobody reads standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-c", "from bitparity.cli import main; main()", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    return ended


@pytest.mark.parametrize("words", [["doctor"], ["compare", "--reference", "oracle", "--tokens", "1"]])
def test_report_without_a_reader_is_no_verdict(words: list[str]) -> None:
    """Neither 0 nor 1 may be told: nobody has seen the report."""
    ended = type_with_no_reader(*words)
    assert ended.returncode == 141, ended.stderr
    assert ended.stderr == ""


def test_result_is_written_before_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    traced = ["--engine", "oracle", "--tokens", "1", "--trace-filter", "-1:logits", "--out", str(tmp_path)]
    trace = [["trace", *traced, "--run", name] for name in ("one", "two")]
    assert bitparity(monkeypatch, *trace[0]) == 0
    for words in (
        trace[1],
        ["trace-diff", str(tmp_path / "one"), str(tmp_path / "two")],
        ["compare", "--reference", "oracle", "--tokens", "1"],
    ):
        assert type_with_no_reader(*words, "--json", str(kept)).returncode == 141
        json.loads(kept.read_text())
        kept.unlink()


# What each command needs to be typed at all, and its options that name a file to write.
OUTPUTS = [
    (["compare", "--reference", "oracle", "--tokens", "1"], "--json"),
    (["compare", "--reference", "oracle", "--tokens", "1"], "--html"),
    (["compare", "--tokens", "1"], "--record"),
    (["bench", "--engine", "oracle"], "--json"),
    (["doctor"], "--json"),
    (["blame", "expected", "actual"], "--json"),
    (["trace", "--tokens", "1", "--out", "{folder}/traces"], "--json"),
    (["trace-diff", "expected", "actual"], "--json"),
    (["inspect", "model.gguf"], "--json"),
    (["quantize", "model.gguf", "{folder}/new.gguf", "--to", "F16"], "--json"),
    (["make-model", "{folder}/new.gguf"], "--json"),
    (["verify-weights", "a.gguf", "b.gguf"], "--json"),
    (["fuzz", "formats"], "--json"),
    (["selftest"], "--json"),
]


@pytest.mark.parametrize(("words", "option"), OUTPUTS, ids=lambda value: value[0] if value[1:2] else None)
def test_output_that_cannot_be_written_is_told_before_anything_runs(
    words: list[str],
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "no-such-folder" / "x.json"
    typed = [word.format(folder=tmp_path) for word in words]
    assert bitparity(monkeypatch, *typed, option, str(file)) == 2
    said = capsys.readouterr()
    assert said.err == f"bitparity: {option} {file} cannot be written: there is no folder {file.parent}\n"
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_every_file_that_a_command_writes_is_checked_before_it_runs() -> None:
    """A command whose --json, --html or --record is no OutputFile would find out after the run."""
    group = cli.group
    context = click.Context(group)
    options = [
        (name, option)
        for name in cli.COMMANDS
        for option in getattr(group.get_command(context, name), "params", [])
        if set(option.opts) & {"--json", "--html", "--record"}
    ]
    without = {"run", "include", "sweep"}  # a sweep writes records, of which `report --json` tells
    assert {name for name, _ in options} >= set(cli.COMMANDS) - without
    unchecked = [(name, option.name) for name, option in options if not isinstance(option.type, OutputFile)]
    assert unchecked == []


def test_output_that_is_a_folder_or_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, why in (
        (tmp_path, "it is a folder"),
        (tmp_path / "file" / "x.json", f"there is no folder {tmp_path / 'file'}"),
    ):
        with pytest.raises(BadInput, match=f"cannot be written: {why}"):
            check_writable(path)


def test_checking_an_output_leaves_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    check_writable(file)
    assert not file.exists()
    file.write_text("earlier")
    check_writable(file)
    assert file.read_text() == "earlier"


def test_json_is_strict_whatever_is_not_finite(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, {"a": [math.nan, 1.5], "b": {"c": -math.inf, "d": ("e", None, True)}})
    strict = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert strict == {"a": [None, 1.5], "b": {"c": None, "d": ["e", None, True]}}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_told_in_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"^/dev/full cannot be written: No space left on device$"):
        write_json(Path("/dev/full"), {})


@pytest.mark.parametrize(
    ("variable", "words", "folder"),
    [
        ("BITNET_TRACE_DIR", ["compare", "--reference", "oracle", "--tokens", "1"], "reference-oracle"),
        ("BITNET_TRACE_DIR", ["run", "--tokens", "1"], "native"),
        ("BITNET_TRACE_DIR", ["trace", "--tokens", "1"], "native"),
        ("BITPARITY_CACHE_DIR", ["trace", "--engine", "native", "--tokens", "1"], "models"),
    ],
)
def test_folder_that_cannot_be_made_is_told_in_one_sentence(
    variable: str,
    words: list[str],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BITNET_TRACE_DIR", str(tmp_path / "traces"))
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    monkeypatch.setattr("bitparity.choose.MODEL_FORMATS", ("I2_S",))  # which has to be converted
    assert bitparity(monkeypatch, *words) == 2
    told = f"bitparity: the folder {tmp_path / 'file' / folder} cannot be made: Not a directory\n"
    assert capsys.readouterr().err == told


def test_recording_on_a_full_disk_is_told_in_one_sentence(recording: Recording) -> None:
    with pytest.raises(BadInput, match=r"^/dev/full cannot be written: No space left on device$"):
        save_recording(recording, Path("/dev/full"))


@pytest.fixture
def recording(fake_engine: Any, tmp_path: Path) -> Recording:
    session = fake_engine().open(tmp_path, context=8, threads=1)
    rows = session.prefill([1, 2])
    sequences = tuple(RecordedSequence(None, (1, 2), chunks, rows) for chunks in ("prefill", "decode"))
    noise = NoiseFloor("fake", (SelfComparison("self", "again", (Levels(),), {}),))
    return Recording(session.info, "00", sequences, noise)
