"""Kernel sets for other CPUs: a compiler takes them and, emulated, they equal the portable set.

AArch64 runs under QEMU, without and with dotprod.  No emulator of AVX-512 is packaged, so its intrinsics are
replaced, one by one, by those of SIMDe in plain C.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    ROOT / "tests/native/kernel_sets_agree.cpp",
    ROOT / "native/src/format_table.cpp",
    ROOT / "native/src/half.cpp",
    ROOT / "native/src/kernel_sets.cpp",
    ROOT / "native/src/matmul.cpp",
    ROOT / "native/src/thread_pool.cpp",
    *sorted((ROOT / "native/src/kernels").glob("*.cpp")),
)
FLAGS = (
    "-std=c++20",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffp-contract=off",
    f"-I{ROOT / 'native/include'}",
)
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")
# GCC 12 warns of its own AVX-512 intrinsics (its bug 105593).
SHARED_HEADERS, OWN_HEADERS = "-Wno-unused-function", ("-Wno-uninitialized", "-Wno-maybe-uninitialized")
EMULATED = ("-DSIMDE_ENABLE_NATIVE_ALIASES", "-include", str(ROOT / "tests/native/simde_more.h"))
ON_X86_64 = {"avx2.cpp": AVX2, "avx512.cpp": (*AVX512, SHARED_HEADERS, *OWN_HEADERS)}
ON_AARCH64 = {"neon_dotprod.cpp": ("-march=armv8.2-a+dotprod", SHARED_HEADERS)}
needs_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates AVX-512 on x86-64")


def build(compiler: str, folder: Path, flags_of: Mapping[str, tuple[str, ...]]) -> Path:
    """Compile every source with its own flags, as native/CMakeLists.txt does, and link the checker."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    objects = [folder / f"{source.stem}.o" for source in SOURCES]
    for source, target in zip(SOURCES, objects, strict=True):
        own = flags_of.get(source.name, ())
        subprocess.run([compiler, *FLAGS, *own, "-c", source, "-o", target], check=True)
    program = folder / "kernel_sets_agree"
    subprocess.run([compiler, "-static", "-pthread", *objects, "-o", program], check=True)
    return program


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def aarch64_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("aarch64-linux-gnu-g++", tmp_path_factory.mktemp("aarch64"), ON_AARCH64)


def emulator() -> str:
    found = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if found is None:
        pytest.skip("qemu-aarch64 is not installed")
    return found


def test_neon_compiles_without_warnings(aarch64_program: Path) -> None:
    assert aarch64_program.exists()


def test_neon_equals_portable_to_the_bit(aarch64_program: Path) -> None:
    done = run(emulator(), "-cpu", "max", aarch64_program)
    assert done.stdout.splitlines() == ["neon_dotprod runs", "neon runs", "portable runs"]
    assert done.returncode == 0


def test_dotprod_is_left_alone_by_a_cpu_without_it(aarch64_program: Path) -> None:
    done = run(emulator(), "-cpu", "cortex-a53", aarch64_program)
    assert done.stdout.splitlines() == ["neon_dotprod", "neon runs", "portable runs"]
    assert done.returncode == 0


@needs_x86_64
def test_avx512_compiles_without_warnings(tmp_path: Path) -> None:
    assert run(build("g++", tmp_path, ON_X86_64)).returncode == 0


@needs_x86_64
def test_avx512_equals_portable_to_the_bit_when_emulated(tmp_path: Path) -> None:
    if "avx2" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this CPU has no AVX2, which SIMDe leaves as it is")
    if not Path("/usr/include/simde/x86/avx512.h").exists():
        pytest.skip("libsimde-dev is not installed")
    flags_of = {
        **ON_X86_64,
        "avx512.cpp": (*AVX2, SHARED_HEADERS, "-Wno-psabi", *EMULATED),
        "kernel_sets.cpp": ("-D__builtin_cpu_supports(feature)=1",),
    }
    done = run(build("g++", tmp_path, flags_of))
    sets = {"avx512", "avx512_zen4", "avx2", "portable"}  # the order of the first two goes by the CPU
    assert set(done.stdout.splitlines()) == {f"{name} runs" for name in sets}
    assert done.returncode == 0
