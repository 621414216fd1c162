"""Each way in which a reference can be missing has one sentence that ends with what to do."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path

import pytest

from bitparity.errors import EngineUnavailable
from bitparity_reference import discover
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.discover import Library, find_bitnet_cpp, find_llama_cpp

SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


def make_tree(
    root: Path, *, headers: bool = True, libraries: str | None = "build/3rdparty/llama.cpp/src"
) -> Path:
    (root / "3rdparty/llama.cpp").mkdir(parents=True)
    (root / "setup_env.py").touch()
    if headers:
        (root / "3rdparty/llama.cpp/include").mkdir()
        (root / "3rdparty/llama.cpp/include/llama.h").touch()
    if libraries is not None:
        folder = root / libraries
        folder.mkdir(parents=True)
        (folder / f"libllama{SUFFIX}").write_bytes(b"..GCC: (Debian 12) 12.2.0\0..clang version 14.0.6\0")
        (folder / f"libggml{SUFFIX}").write_bytes(b"ggml")
    return root


@pytest.mark.parametrize("value", [None, ""])
def test_bitnet_cpp_dir_unset_or_empty_says_what_to_set(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("BITNET_CPP_DIR", value)
    available = BitnetCppEngine().availability()
    assert not available.found
    assert available.what == "BITNET_CPP_DIR is not set"
    assert "README.md" in available.advice
    assert available.advice.endswith("then set BITNET_CPP_DIR to the root of the tree")


def test_bitnet_cpp_dir_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="missing', which is no folder; set it to the root") as caught:
        find_bitnet_cpp(tmp_path / "missing")
    assert caught.value.exit_code == 4


def test_bitnet_cpp_dir_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"which is no bitnet\.cpp tree"):
        find_bitnet_cpp(tmp_path)


def test_bitnet_cpp_dir_without_its_submodule_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        EngineUnavailable, match="is empty; type there: git submodule update --init --recursive"
    ):
        find_bitnet_cpp(make_tree(tmp_path, headers=False, libraries=None))


def test_bitnet_cpp_dir_unbuilt_says_how_to_build(tmp_path: Path) -> None:
    with pytest.raises(
        EngineUnavailable, match=f"not built: no libllama{SUFFIX} under build/; build bitnet.cpp by"
    ):
        find_bitnet_cpp(make_tree(tmp_path, libraries=None))


@pytest.mark.parametrize("folder", ["build/3rdparty/llama.cpp/src", "build/bin"])
def test_bitnet_cpp_built_tree_is_found_and_told_apart(tmp_path: Path, folder: str) -> None:
    root = make_tree(tmp_path, libraries=folder)
    (root / "build/CMakeCache.txt").write_text("// note\nCMAKE_BUILD_TYPE:STRING=Release\nOTHER:BOOL=ON\n")
    found = find_bitnet_cpp(root)
    assert [file.name for file in found.files] == [f"libllama{SUFFIX}", f"libggml{SUFFIX}"]
    assert found.details == {"CMAKE_BUILD_TYPE": "Release"}
    assert found.compiler == "clang version 14.0.6"
    assert found.version == "no git commit"
    digest = found.digest
    (root / folder / f"libggml{SUFFIX}").write_bytes(b"GGML")
    assert find_bitnet_cpp(root).digest != digest


@pytest.mark.parametrize(
    "name", ["libggml-cpu", "libggml-cpu-haswell", "libggml-base", "libggml-blas", "libllama"]
)
@pytest.mark.parametrize("version", ["", ".0"])
def test_digest_changes_with_every_library_that_computes(tmp_path: Path, name: str, version: str) -> None:
    """llama.cpp has its kernels in libggml-cpu, which libggml loads, by the name with its version."""
    root = make_tree(tmp_path)
    before = find_bitnet_cpp(root).digest
    library = root / "build/3rdparty/llama.cpp/src" / f"{name}{SUFFIX}{version}"
    library.write_bytes(b"kernels")
    first = find_bitnet_cpp(root).digest
    library.write_bytes(b"KERNELS")
    assert len({before, first, find_bitnet_cpp(root).digest}) == 3


def test_digest_ignores_what_lies_beside_and_does_not_compute(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    before = find_bitnet_cpp(root).digest
    for name in (f"libmtmd{SUFFIX}", "libllama.txt", "CMakeCache.txt"):
        (root / "build/3rdparty/llama.cpp/src" / name).touch()
    assert find_bitnet_cpp(root).digest == before


@pytest.mark.usefixtures("llama_cpp")
def test_llama_cpp_is_found_without_importing_it() -> None:
    before = "llama_cpp" in sys.modules
    found = find_llama_cpp()
    assert isinstance(found, Library)
    assert found.version.startswith("llama-cpp-python ")
    assert ("llama_cpp" in sys.modules) == before


def install(monkeypatch: pytest.MonkeyPatch, origin: Path | None) -> None:
    spec = origin and importlib.machinery.ModuleSpec("llama_cpp", None, origin=str(origin))
    monkeypatch.setattr(discover, "find_spec", lambda name: spec)


def test_llama_cpp_not_installed_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    with pytest.raises(EngineUnavailable, match="not installed; type: pip install llama-cpp-python"):
        find_llama_cpp()


def test_llama_cpp_without_library_or_header_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site-packages/llama_cpp"
    (package / "lib").mkdir(parents=True)
    install(monkeypatch, package / "__init__.py")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    with pytest.raises(EngineUnavailable, match=f"has no lib/libllama{SUFFIX}; type: pip install --force"):
        find_llama_cpp()
    (package / f"lib/libllama{SUFFIX}").touch()
    with pytest.raises(EngineUnavailable, match=r"without its header llama.h; type: pip install --force"):
        find_llama_cpp()
    (tmp_path / "site-packages/include").mkdir()
    (tmp_path / "site-packages/include/llama.h").touch()
    assert find_llama_cpp().include_dirs == (tmp_path / "site-packages/include",)
