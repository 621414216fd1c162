"""Compile the bridge against one reference; the result is cached under a hash of all that went into it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pybind11
from blake3 import blake3

from bitparity.errors import EngineUnavailable
from bitparity.output import make_folder
from bitparity_reference.discover import Library

MODULE = "_bridge"  # name of the compiled module
_FLAGS = ("-std=c++20", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")
_FOUND_SOURCES = (Path(__file__).parent / "bridge", Path(__file__).parent.parent / "bridge")


def source_dir() -> Path:
    """The bridge's C++ source: in the package when installed, beside it in a source tree."""
    return next(folder for folder in _FOUND_SOURCES if folder.is_dir())


def find_compiler() -> str:
    """Path of a C++ compiler; EngineUnavailable when there is none."""
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return path
    raise EngineUnavailable("no C++ compiler (c++, g++, clang++) is on the PATH; install one with C++20")


@cache
def compiler_version(compiler: str) -> str:
    """First line of `compiler --version`."""
    answer = subprocess.run([compiler, "--version"], capture_output=True, text=True)
    return answer.stdout.partition("\n")[0]


def bridge_dir(library: Library, cache_dir: Path) -> Path:
    """Where the bridge to this very library is kept; the name is a hash of all that it depends on."""
    hasher = blake3()
    for text in (*_FLAGS, compiler_version(find_compiler()), pybind11.__version__, _suffix(), library.digest):
        hasher.update(text.encode() + b"\0")
    for file in library.files:
        hasher.update(bytes(file) + b"\0")  # the path is compiled in
    for file in _inputs(library):
        hasher.update(file.name.encode() + b"\0")
        hasher.update_mmap(file)
    return cache_dir / "bridges" / f"{library.engine}-{hasher.hexdigest(16)}"


def build_bridge(library: Library, cache_dir: Path) -> Path:
    """Return the folder that holds the compiled module, compiling it if it is not there.

    Safe when several processes do it at once: each compiles aside and the first to finish puts it in place.
    Raises EngineUnavailable with the compiler's own first errors.
    """
    target = bridge_dir(library, cache_dir)
    if target.is_dir():
        return target
    make_folder(target.parent, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    try:
        _compile(library, aside / f"{MODULE}{_suffix()}")
        aside.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _compile(library: Library, output: Path) -> None:
    compiler = find_compiler()
    answer = subprocess.run(_command(compiler, library, output), capture_output=True, text=True)
    if answer.returncode != 0:
        raise EngineUnavailable(
            f"the bridge to {library.engine} does not compile with {compiler_version(compiler)}: "
            f"{_first_errors(answer.stderr)}"
        )


def _command(compiler: str, library: Library, output: Path) -> list[str]:
    includes = (*library.include_dirs, Path(pybind11.get_include()), Path(sysconfig.get_path("include")))
    folders = dict.fromkeys(file.parent for file in library.files)
    platform = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    return [
        *(compiler, *_FLAGS, *platform),
        *(f"-I{folder}" for folder in includes),
        *(str(file) for file in sorted(source_dir().glob("*.cpp"))),
        *(str(file) for file in library.files),
        *(f"-Wl,-rpath,{folder}" for folder in folders),
        *("-o", str(output)),
    ]


def _first_errors(words: str, limit: int = 3) -> str:
    lines = [line.strip() for line in words.splitlines() if re.search(r"\b(error|undefined)\b", line)]
    return "; ".join(lines[:limit]) or words.strip()[-300:] or "it gave no reason"


def _inputs(library: Library) -> Iterator[Path]:
    yield from sorted(source_dir().glob("*.[ch]pp"))
    for folder in library.include_dirs:
        yield from sorted(f for f in folder.glob("*.h") if f.name.startswith(("llama", "ggml", "gguf")))


def _suffix() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))
