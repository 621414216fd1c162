"""Kernel sets for other CPUs: a cross-compiler takes them and, emulated, they equal the portable set."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    ROOT / "tests/native/kernel_sets_agree.cpp",
    ROOT / "native/src/half.cpp",
    ROOT / "native/src/kernel_sets.cpp",
    ROOT / "native/src/matmul.cpp",
    ROOT / "native/src/thread_pool.cpp",
    *sorted((ROOT / "native/src/kernels").glob("*.cpp")),
)
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
FLAGS = ("-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-static", "-pthread")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed")
    built = tmp_path_factory.mktemp("aarch64") / "kernel_sets_agree"
    subprocess.run([COMPILER, *FLAGS, f"-I{ROOT / 'native/include'}", *SOURCES, "-o", built], check=True)
    return built


def test_neon_compiles_without_warnings(program: Path):
    assert program.exists()


def test_neon_equals_portable_to_the_bit(program: Path):
    if shutil.which(EMULATOR) is None:
        pytest.skip(f"{EMULATOR} is not installed")
    run = subprocess.run([EMULATOR, program], capture_output=True, text=True, timeout=300)
    assert run.stdout.splitlines() == ["neon runs", "portable runs"]
    assert run.returncode == 0
