"""Whether a build rounds the products of Q2_0's sum, measured on libraries compiled either way."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from bitparity.engine import Fingerprint
from bitparity.oracle.arithmetic import arithmetic_named
from bitparity_reference.build_arithmetic import with_arithmetic
from bitparity_reference.fused_sums import fuses_sums

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) is on the PATH")
_DOT = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>
typedef _Float16 half;
static float product(float a, float b, float c) { return FUSED ? fmaf(a, b, c) : c + a * b; }
void ggml_vec_dot_q2_0_q8_0(int n, float* s, size_t bs, const void* vx, size_t bx, const void* vy, size_t by,
                            int nrc) {
    const uint8_t *x = vx, *y = vy;
    float sum = 0;
    for (int i = 0; i < n / 64; ++i, x += 18) {
        float part = 0;
        for (int k = 0; k < 2; ++k, y += 34) {
            int whole = 0;
            for (int j = 0; j < 32; ++j)
                whole += ((x[2 + 8 * k + j / 4] >> 2 * (j % 4) & 3) - 1) * (int8_t)y[2 + j];
            part = product(*(const half*)y, whole, part);
        }
        sum = product(*(const half*)x, part, sum);
    }
    *s = sum;
}
"""


@pytest.mark.parametrize("fused", [False, True])
def test_library_tells_whether_it_fuses(tmp_path: Path, fused: bool) -> None:
    (tmp_path / "dot.c").write_text(_DOT)
    flags = ["-shared", "-fPIC", "-ffp-contract=off", f"-DFUSED={int(fused)}"]
    built = subprocess.run(
        ["cc", *flags, tmp_path / "dot.c", "-o", tmp_path / "dot.so", "-lm"], check=False, capture_output=True
    )
    if b"_Float16" in built.stderr:
        pytest.skip("the C compiler has no _Float16")
    assert built.returncode == 0, built.stderr
    assert fuses_sums(ctypes.CDLL(str(tmp_path / "dot.so"))) is fused


def test_library_without_q2_0_fuses_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing;")
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "empty.c", "-o", tmp_path / "empty.so"], check=True)
    assert not fuses_sums(ctypes.CDLL(str(tmp_path / "empty.so")))


@pytest.mark.parametrize("fused", [False, True])
def test_what_was_measured_is_part_of_the_arithmetic(fused: bool) -> None:
    fingerprint = Fingerprint(
        "llama.cpp", "", "GCC", "avx2+fma", kernels="", threads=1, kv_type="f16", details={}
    )
    stated = with_arithmetic(fingerprint, fuses_sums=fused).details["arithmetic"]
    assert stated == "llama.cpp/avx2/gcc" + "/fused_sums" * fused
    arithmetic = arithmetic_named(stated)
    assert (arithmetic.fuses_sums, arithmetic.name) == (fused, stated)
    assert arithmetic.is_a_ggml_build
