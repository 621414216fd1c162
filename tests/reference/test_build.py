"""The bridge is compiled once, by whoever comes first; a compiler that fails is quoted.

The compiler is a shell script.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bitparity.errors import EngineUnavailable
from bitparity_reference.build import bridge_dir, build_bridge, compiler_version
from bitparity_reference.discover import Library

# Writes its arguments where -o says, and a line for each time it ran.
COMPILES = """#!/bin/sh
if [ "$1" = --version ]; then echo "fake 1.0"; exit; fi
echo run >> "{log}"
sleep 0.2
for last; do :; done
echo "$@" > "$last"
"""
FAILS = """#!/bin/sh
if [ "$1" = --version ]; then echo "fake 2.0"; exit; fi
echo "bridge/tap.cpp:7:10: note: in this file" >&2
echo "bridge/tap.cpp:7:10: fatal error: ggml.h: No such file or directory" >&2
exit 1
"""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "include").mkdir()
    (tmp_path / "include/llama.h").write_text("// first")
    (tmp_path / "libllama.so").write_bytes(b"machine code")
    return Library("fake.cpp", tmp_path, (tmp_path / "include",), (tmp_path / "libllama.so",), "1")


def use_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put it first on the PATH; returns the log of its runs."""
    folder, log = tmp_path / "bin", tmp_path / "runs.log"
    folder.mkdir(exist_ok=True)
    log.touch()
    (folder / "c++").write_text(script.replace("{log}", str(log)))
    (folder / "c++").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    compiler_version.cache_clear()
    return log


def test_bridge_is_compiled_once_and_then_found(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = use_compiler(tmp_path, monkeypatch, COMPILES)
    built = build_bridge(library, tmp_path / "cache")
    assert build_bridge(library, tmp_path / "cache") == built == bridge_dir(library, tmp_path / "cache")
    (module,) = built.iterdir()
    assert module.name.startswith("_bridge.")
    assert f"-I{tmp_path / 'include'}" in module.read_text()
    assert f"-Wl,-rpath,{tmp_path}" in module.read_text()
    assert log.read_text().count("run") == 1


def test_bridge_key_follows_header_library_and_compiler(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_compiler(tmp_path, monkeypatch, COMPILES)
    keys = [bridge_dir(library, tmp_path)]
    (tmp_path / "include/llama.h").write_text("// second")
    keys.append(bridge_dir(library, tmp_path))
    (tmp_path / "libllama.so").write_bytes(b"other machine code")
    other = Library("fake.cpp", tmp_path, library.include_dirs, library.files, "1")  # the digest is cached
    keys.append(bridge_dir(other, tmp_path))
    use_compiler(tmp_path, monkeypatch, FAILS)
    keys.append(bridge_dir(other, tmp_path))
    assert len(set(keys)) == 4


def test_bridge_built_by_many_at_once_is_one(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_compiler(tmp_path, monkeypatch, COMPILES)
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        built = set(pool.map(lambda _: build_bridge(library, cache), range(4)))
    assert len(built) == 1
    assert [path.name for path in (cache / "bridges").iterdir()] == [built.pop().name]


def test_bridge_that_does_not_compile_quotes_the_compiler(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_compiler(tmp_path, monkeypatch, FAILS)
    with pytest.raises(EngineUnavailable) as caught:
        build_bridge(library, tmp_path / "cache")
    assert str(caught.value) == (
        "the bridge to fake.cpp does not compile with fake 2.0: "
        "bridge/tap.cpp:7:10: fatal error: ggml.h: No such file or directory"
    )
    assert not list((tmp_path / "cache/bridges").iterdir())


def test_bridge_without_a_compiler_says_so(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"no C\+\+ compiler"):
        build_bridge(library, tmp_path / "cache")
