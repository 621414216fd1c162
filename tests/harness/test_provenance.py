"""Where, when and by which bitparity a result was made."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bitparity import provenance
from bitparity.provenance import Provenance, cpu_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9B45\nflags\t: fpu\n", "AMD EPYC 9B45"),
        ("processor\t: 0\nBogoMIPS\t: 50.0\n\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
    ],
)
def test_cpu_is_called_as_the_system_calls_it(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_name(tmp_path / "cpuinfo") == name


def test_cpu_has_a_name_where_the_system_tells_none(tmp_path: Path) -> None:
    assert cpu_name(tmp_path / "missing")


def test_provenance_is_of_now() -> None:
    made = Provenance.now()
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made.date)).total_seconds()) < 60
    assert made.host
    assert made.version


def test_commit_tells_changed_files(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    clean = provenance._commit_of(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert provenance._commit_of(tmp_path) == f"{clean}-dirty"
