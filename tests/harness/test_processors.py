"""Threads are counted by what this process may use and not by what the machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitparity import processors
from bitparity.processors import cpu_quota, usable_processors
from bitparity.settings import read_settings


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_engine_gets_as_many_threads_as_the_affinity_leaves() -> None:
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); os.cpu_count = lambda: 64\n"
        "from bitparity.settings import read_settings; print(read_settings({}).threads)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("quota", "threads"), [(None, 8), (16.0, 8), (8.0, 8), (2.5, 2), (1.0, 1), (0.25, 1)], ids=str
)
def test_quota_is_rounded_down_to_whole_threads_but_leaves_one(
    quota: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    assert usable_processors() == threads
    assert read_settings({}).threads == threads
    assert read_settings({"BITNET_DETERMINISTIC": "1"}).threads == 1


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def test_quota_of_version_2_is_the_smallest_of_the_group_and_those_around_it(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own, "0::/outer/inner")
    assert cpu_quota(tmp_path, own) is None
    write(tmp_path / "outer/inner/cpu.max", "max 100000")
    assert cpu_quota(tmp_path, own) is None
    write(tmp_path / "outer/cpu.max", "150000 100000")
    assert cpu_quota(tmp_path, own) == 1.5
    write(tmp_path / "outer/inner/cpu.max", "200000 100000")
    assert cpu_quota(tmp_path, own) == 1.5


def test_quota_of_version_2_is_found_in_a_container_that_sees_its_group_as_the_root(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/docker/1234")
    write(tmp_path / "cpu.max", "300000 100000")
    assert cpu_quota(tmp_path, tmp_path / "own") == 3


def test_quota_of_version_1_is_found_and_minus_1_is_none(tmp_path: Path) -> None:
    write(tmp_path / "own", "4:memory:/x\n1:cpu,cpuacct:/x\n0::/")
    write(tmp_path / "cpu/x/cpu.cfs_period_us", "100000")
    write(tmp_path / "cpu/x/cpu.cfs_quota_us", "-1")
    assert cpu_quota(tmp_path, tmp_path / "own") is None
    write(tmp_path / "cpu/x/cpu.cfs_quota_us", "50000")
    assert cpu_quota(tmp_path, tmp_path / "own") == 0.5


def test_quota_that_is_not_told_or_not_understood_is_none(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "own") is None
    write(tmp_path / "own", "0::/")
    write(tmp_path / "cpu.max", "a lot")
    assert cpu_quota(tmp_path, tmp_path / "own") is None
