"""The thread pool alone, without Python; under `make sanitize` with the sanitizer of the core."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POOL = ROOT / "native/src/thread_pool.cpp"
FLAGS = ("-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{ROOT / 'native/include'}")
SANITIZERS = {
    "": (),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}
# Each lets a round begin or end without the memory of the one before.
WEAKENED = [
    ("round_.fetch_add(1, std::memory_order_release)", "round_.fetch_add(1, std::memory_order_relaxed)"),
    ("round_.load(std::memory_order_acquire)", "round_.load(std::memory_order_relaxed)"),
    ("busy_.fetch_sub(1, std::memory_order_release)", "busy_.fetch_sub(1, std::memory_order_relaxed)"),
    ("busy_.load(std::memory_order_acquire)", "busy_.load(std::memory_order_relaxed)"),
]


def run(pool: Path, sanitizer: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile the driver with this pool and run it, both without the sanitizer of this process."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    program = folder / "thread_pool"
    sources = (ROOT / "tests/native/thread_pool.cpp", pool)
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(
        [compiler, *FLAGS, *SANITIZERS[sanitizer], *sources, "-o", program], check=True, env=environment
    )
    return subprocess.run([program], capture_output=True, text=True, timeout=300, env=environment)


def test_rounds_run_every_task_once_and_see_each_other(sanitizer: str, tmp_path: Path) -> None:
    done = run(POOL, sanitizer, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("strong", "weak"), WEAKENED, ids=[weak for _, weak in WEAKENED])
def test_thread_sanitizer_sees_a_weakened_order(
    sanitizer: str, tmp_path: Path, strong: str, weak: str
) -> None:
    if sanitizer != "thread":
        pytest.skip("`make sanitize` looks for data races")
    source = POOL.read_text()
    assert strong in source
    weakened = tmp_path / "weakened.cpp"
    weakened.write_text(source.replace(strong, weak))
    done = run(weakened, sanitizer, tmp_path)
    assert done.returncode != 0
    assert "ThreadSanitizer: data race" in done.stderr
