"""What the command line does when something fails: an exit code that is no verdict, and one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bitparity import cli


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


@pytest.mark.parametrize("command", [["doctor"], ["compare", "--reference", "oracle", "--tokens", "1"]])
def test_closed_pipe_is_no_verdict(command: list[str], tmp_path: Path) -> None:
    """As `bitparity compare | true`: nobody reads the report, and neither 0 nor 1 was told to anybody."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"BITPARITY_CACHE_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    program = "from bitparity.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, *command],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 141, ended.stderr
    assert ended.stderr == ""
