"""The distribution: what it announces is there, and its parts depend on each other in one direction only."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path

import click
import pytest

import bitparity
from bitparity.cli import COMMANDS, group
from bitparity.engine import role_of
from bitparity.registry import engine_names, get_engine

HARNESS = Path(bitparity.__file__).parent
HEAVY = ("pandas", "hypothesis", "jinja2", "tokenizers", "gguf", "rich")


def imported_names(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def environment_reads(source: Path) -> Iterator[int]:
    """Line numbers of os.environ and os.getenv."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
            yield node.lineno


def harness_sources() -> list[Path]:
    sources = sorted(HARNESS.rglob("*.py"))
    assert len(sources) > 20
    return sources


def test_harness_does_not_import_engines() -> None:
    found = [
        f"{source.relative_to(HARNESS)} imports {name}"
        for source in harness_sources()
        for name in imported_names(source)
        if name.split(".")[0] in ("bitparity_native", "bitparity_reference", "llama_cpp")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("package", "other"),
    [("bitparity_native", "bitparity_reference"), ("bitparity_reference", "bitparity_native")],
)
def test_engines_do_not_import_each_other(package: str, other: str) -> None:
    folder = Path(importlib.import_module(package).__file__ or "").parent
    sources = sorted(folder.rglob("*.py"))
    assert sources
    names = {name.split(".")[0] for source in sources for name in imported_names(source)}
    assert other not in names


def test_modules_of_the_harness_import_each_other_one_way() -> None:
    sources = {_module_name(source): source for source in harness_sources()}
    imports = {name: imported_modules(source) & set(sources) - {name} for name, source in sources.items()}
    assert imports["bitparity.compare.run"] > {"bitparity.compare.positions"}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def _module_name(source: Path) -> str:
    return ".".join(source.relative_to(HARNESS.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(source: Path) -> set[str]:
    """Modules that are imported anywhere in a source, type-checkers' imports not counted."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    guarded = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    for_types = {
        id(inner) for node in guarded if "TYPE_CHECKING" in ast.dump(node.test) for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in for_types:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in names if _is_module(name)}
            found |= submodules or {node.module}
    return found


def _is_module(name: str) -> bool:
    path = HARNESS.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_environment_is_read_in_one_place() -> None:
    found = {s.relative_to(HARNESS).as_posix() for s in harness_sources() if any(environment_reads(s))}
    assert found == {"settings.py"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("native", "candidate"),
        ("oracle", "oracle"),
        ("bitnet.cpp", "reference"),
        ("llama.cpp", "reference"),
    ],
)
def test_announced_engine_says_what_it_is_for_and_whether_it_is_there(name: str, role: str) -> None:
    assert name in engine_names()
    engine = get_engine(name)
    assert engine.name == name
    assert role_of(engine) == role
    available = engine.availability()
    assert available.what
    assert available.found or available.advice


@pytest.mark.parametrize("name", COMMANDS)
def test_command_of_the_help_text_exists(name: str) -> None:
    module = importlib.import_module(f"bitparity.cli.{name.replace('-', '_')}")
    assert isinstance(module.command, click.Command)


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys, bitparity.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_is_that_of_the_distribution() -> None:
    from click.testing import CliRunner

    output = CliRunner().invoke(group, ["--version"]).output
    assert version("bitparity") in output


def test_bridge_source_is_shipped() -> None:
    from bitparity_reference.build import source_dir

    assert any(file.suffix == ".cpp" for file in source_dir().iterdir())
