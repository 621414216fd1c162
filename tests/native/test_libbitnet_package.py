"""libbitnet as C programs find it: the example, built by pkg-config and by CMake, prints what native does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitparity.model.bundled import bundled_model
from bitparity_native.library import PREFIX

EXAMPLE = Path(__file__).parents[2] / "examples" / "libbitnet"
PROMPT = "A list is a sequence of"
needs = {
    tool: pytest.mark.skipif(shutil.which(tool) is None, reason=f"there is no {tool}")
    for tool in ("cc", "pkg-config", "valgrind")
}


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=os.environ | environment, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built_by_pkg_config(folder: Path) -> Path:
    flags = run("pkg-config", "--cflags", "--libs", "bitnet", PKG_CONFIG_PATH=str(PREFIX / "lib/pkgconfig"))
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    run("cc", *strict, EXAMPLE / "stream.c", *flags.split(), "-o", folder / "stream")
    return folder / "stream"


def built_by_cmake(folder: Path) -> Path:
    cmake = Path(sys.executable).parent / "cmake"
    tool = cmake if cmake.exists() else "cmake"
    run(tool, "-S", EXAMPLE, "-B", folder, f"-DCMAKE_PREFIX_PATH={PREFIX}")
    run(tool, "--build", folder)
    return folder / "stream"


@pytest.fixture(scope="module")
def expected() -> str:
    """What `bitparity run` prints."""
    script = "from bitparity.cli import main; main()"
    return run(sys.executable, "-c", script, "run", bundled_model(), "--prompt", PROMPT)


@needs["cc"]
@needs["pkg-config"]
def test_example_found_by_pkg_config_streams_the_text_of_bitparity_run(tmp_path: Path, expected: str) -> None:
    program = built_by_pkg_config(tmp_path)
    assert run(program, bundled_model(), PROMPT) == expected
    assert len(expected.split()) > 10
    failed = subprocess.run([program, "/no/model.gguf", PROMPT], capture_output=True, text=True)
    assert (failed.returncode, failed.stderr) == (1, "bitnet_model_load: model.gguf: no such file\n")


@needs["cc"]
def test_example_found_by_cmake_streams_the_text_of_bitparity_run(tmp_path: Path, expected: str) -> None:
    assert run(built_by_cmake(tmp_path), bundled_model(), PROMPT) == expected


@needs["cc"]
@needs["pkg-config"]
@needs["valgrind"]
def test_valgrind_sees_no_leak_and_no_error(tmp_path: Path, sanitizer: str) -> None:
    if sanitizer:
        pytest.skip("a program with a sanitizer does not run under valgrind")
    program = built_by_pkg_config(tmp_path)
    check = (
        "valgrind",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,possible",
        "--error-exitcode=9",
    )
    run(*check, program, bundled_model(), "A")


def test_package_has_the_version_of_the_distribution() -> None:
    from importlib.metadata import version

    found = re.search(r"^Version: (.*)$", (PREFIX / "lib/pkgconfig/bitnet.pc").read_text(), re.MULTILINE)
    assert found is not None
    assert found[1] == version("bitparity")
