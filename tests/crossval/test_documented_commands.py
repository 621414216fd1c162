"""Every command in README.md and docs/ is typed, page by page, in a folder that has the files they speak of.

A command is a line that begins with "$ " in a block of the language console; it must exit with 0, or with N
where "# exit N" stands behind it.  A block that cannot be run here has the reason in a comment above it:
<!-- not run: ... -->.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli, open_model
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.pytest_plugin import require_engine

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "engines"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_SHORTEST_REASON = 20


@dataclass(frozen=True)
class Command:
    line: str
    exit_code: int


def commands_of(page: Path) -> Iterator[Command]:
    language, above, reason = "", "", None
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language = "" if language else line.removeprefix("```") or "none"
            reason = _NOT_RUN.fullmatch(above) if language == "console" else None
            assert reason is None or len(reason[1]) >= _SHORTEST_REASON
        elif language == "console" and line.startswith("$ ") and reason is None:
            typed, _, comment = line.removeprefix("$ ").partition("  # ")
            expected = re.fullmatch(r"exit (\d+)", comment)
            yield Command(typed, int(expected[1]) if expected else 0)
        elif not language and line.strip():
            above = line
    assert not language, f"{page} ends inside a block"


def pages_with_commands() -> list[Path]:
    return [page for page in PAGES if any(commands_of(page))]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in C, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("there is no cc on the PATH")
    library = tmp_path_factory.mktemp("library") / "libengine.so"
    sources = (EXAMPLES / "c" / "engine.c", EXAMPLES / "toy" / "toy.c")
    include = ("-I", ROOT / "harness", "-I", EXAMPLES / "toy")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", *include, *sources, "-lm", "-o", library], check=True)
    return library


@pytest.fixture
def folder(tmp_path: Path, library: Path) -> Path:
    """What the pages speak of: two models, the second with one other weight, a twin, and an engine."""
    spec = ModelSpec(weight_format="F32", n_layer=2, n_vocab=320, context_length=64)
    make_model(tmp_path / "model.gguf", spec)
    convert(tmp_path / "model.gguf", tmp_path / "twin.gguf", "I2_S")
    shutil.copy(tmp_path / "model.gguf", tmp_path / "altered.gguf")
    tensor = open_model(tmp_path / "model.gguf").tensors["blk.1.ffn_norm.weight"]
    with (tmp_path / "altered.gguf").open("r+b") as file:
        file.seek(tensor.offset)
        file.write((tensor.data.view(np.float32) * np.float32(1.5)).tobytes())
    shutil.copy(library, tmp_path)
    shutil.copy(EXAMPLES / "toy" / "toy.stages", tmp_path)
    return tmp_path


def run(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Type a command; bitparity's own are run in this process, which is faster."""
    if command.line.startswith("bitparity "):
        monkeypatch.setattr(sys, "argv", shlex.split(command.line))
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0
    return subprocess.run(["sh", "-c", command.line], cwd=folder, check=False).returncode


@pytest.mark.parametrize("page", pages_with_commands(), ids=lambda page: page.name)
def test_commands_of_a_page_end_as_it_says(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    require_engine(pytestconfig, "llama.cpp")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("BITNET_DETERMINISTIC", "1")
    for command in commands_of(page):
        assert run(command, folder, monkeypatch) == command.exit_code, f"{page.name}: {command.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_stands_where_it_is_not_found(page: Path) -> None:
    """A command in a block of another kind would not be run."""
    indented = [line for line in page.read_text(encoding="utf-8").splitlines() if re.match(r" {4,}\$ ", line)]
    assert indented == []


def test_readme_and_tutorial_have_commands() -> None:
    assert {"README.md", "tutorial.md", "a-divergence.md"} <= {page.name for page in pages_with_commands()}
