"""Find the references on this machine: their headers, their libraries and what they were built from."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from blake3 import blake3

from bitparity.errors import EngineUnavailable

BUILD_BITNET_CPP = (
    "build bitnet.cpp by its own instructions (README.md of github.com/microsoft/BitNet), "
    "then set BITNET_CPP_DIR to the root of the tree"
)
INSTALL_LLAMA_CPP = "type: pip install llama-cpp-python"
_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"
# Where bitnet.cpp's build leaves its libraries: in each project's own folder, or all together.
_BITNET_CPP_BUILD = (
    "build/3rdparty/llama.cpp/src",
    "build/3rdparty/llama.cpp/ggml/src",
    "build/bin",
)
_BITNET_CPP_FLAGS = ("CMAKE_BUILD_TYPE", "GGML_NATIVE", "GGML_OPENMP", "BITNET_X86_TL2", "BITNET_ARM_TL1")


@dataclass(frozen=True)
class Library:
    """A built llama.cpp of either generation, and all that a program needs to use it.

    files     the shared libraries to link, libllama first
    details   what else tells this build from another
    """

    engine: str
    root: Path
    include_dirs: tuple[Path, ...]
    files: tuple[Path, ...]
    version: str
    details: dict[str, str] = field(default_factory=dict)

    @property
    def computing(self) -> list[Path]:
        """Every library of the build that may compute, under each of its names.

        Kernels may lie in libraries that libggml loads, and the loader asks for names with a version.
        """
        folders = dict.fromkeys(file.parent for file in self.files)
        beside = (file for folder in folders for file in sorted(folder.glob(f"lib*{_SUFFIX}*")))
        return [file for file in beside if file.name.startswith(("libllama", "libggml"))]

    @cached_property
    def digest(self) -> str:
        """BLAKE3 of the names and the bytes of all that computes."""
        hasher = blake3()
        for file in self.computing:
            hasher.update(file.name.encode() + b"\0" + blake3().update_mmap(file).digest())
        return hasher.hexdigest()

    @cached_property
    def compiler(self) -> str:
        """The compiler that built libllama, as it signed the file; Clang's signature stands beside GCC's."""
        content = self.files[0].read_bytes()
        for pattern in (rb"clang version [\w.+~-]+", rb"GCC: \([^)\0]*\) [\d.]+"):
            if found := re.search(pattern, content):
                return found[0].decode()
        return "unknown"


def find_bitnet_cpp(root: Path | None) -> Library:
    """Look at the tree that BITNET_CPP_DIR names; EngineUnavailable says what is wrong with it."""
    if root is None:
        raise EngineUnavailable(f"BITNET_CPP_DIR is not set; {BUILD_BITNET_CPP}")
    where = f"BITNET_CPP_DIR is {str(root)!r}"
    if not root.is_dir():
        raise EngineUnavailable(f"{where}, which is no folder; set it to the root of a built bitnet.cpp tree")
    llama = root / "3rdparty/llama.cpp"
    includes = (llama / "include", llama / "ggml/include")
    if not (root / "setup_env.py").is_file() and not llama.is_dir():
        raise EngineUnavailable(f"{where}, which is no bitnet.cpp tree; set it to the root of a built one")
    if not (includes[0] / "llama.h").is_file():
        raise EngineUnavailable(
            f"{where}, whose 3rdparty/llama.cpp is empty; "
            "type there: git submodule update --init --recursive, and build it"
        )
    files = _libraries([root / folder for folder in _BITNET_CPP_BUILD])
    if not files:
        raise EngineUnavailable(
            f"{where}, which is not built: no libllama{_SUFFIX} under build/; {BUILD_BITNET_CPP}"
        )
    details = _cmake_flags(root / "build/CMakeCache.txt")
    return Library("bitnet.cpp", root, includes, files, _commit(root) or "no git commit", details)


def find_llama_cpp() -> Library:
    """Look for an installed llama-cpp-python, without importing it."""
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise EngineUnavailable(f"llama-cpp-python is not installed; {INSTALL_LLAMA_CPP}")
    package = Path(spec.origin).parent
    reinstall = "type: pip install --force-reinstall --no-binary llama-cpp-python llama-cpp-python"
    files = _libraries([package / "lib"])
    if not files:
        raise EngineUnavailable(f"llama-cpp-python in {package} has no lib/libllama{_SUFFIX}; {reinstall}")
    homes = (package, package.parent, Path(sys.prefix))
    include = next((home / "include" for home in homes if (home / "include/llama.h").is_file()), None)
    if include is None:
        raise EngineUnavailable(f"llama-cpp-python in {package} came without its header llama.h; {reinstall}")
    return Library("llama.cpp", package, (include,), files, _package_version(), _upstream(include.parent))


def _libraries(folders: list[Path]) -> tuple[Path, ...]:
    """libllama and the ggml libraries beside it; empty without libllama."""
    found = []
    for name in ("llama", "ggml", "ggml-base"):
        file = next((f for d in folders if (f := d / f"lib{name}{_SUFFIX}").is_file()), None)
        if file is None and name == "llama":
            return ()
        if file is not None:
            found.append(file)
    return tuple(found)


def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"commit {answer.stdout.strip()}"


def _cmake_flags(cache: Path) -> dict[str, str]:
    if not cache.is_file():
        return {}
    lines = re.findall(r"^(\w+):\w+=(.*)$", cache.read_text(errors="replace"), re.MULTILINE)
    return {name: value for name, value in lines if name in _BITNET_CPP_FLAGS and value}


def _package_version() -> str:
    try:
        return f"llama-cpp-python {version('llama_cpp_python')}"
    except PackageNotFoundError:
        return "llama-cpp-python of unknown version"


def _upstream(prefix: Path) -> dict[str, str]:
    """The llama.cpp commit that the installed CMake package names."""
    for folder in ("lib", "lib64"):
        config = prefix / folder / "cmake/llama/llama-config.cmake"
        if config.is_file() and (found := re.search(r"LLAMA_BUILD_COMMIT\s+(\w+)", config.read_text())):
            return {"llama.cpp": found[1]}
    return {}
