"""The arithmetic that a reference's build states, from what its library says of itself."""

from __future__ import annotations

import pytest

from bitparity.engine import Fingerprint
from bitparity.oracle.arithmetic import arithmetic_named
from bitparity_reference.build_arithmetic import with_arithmetic

GCC, CLANG = "GCC: (Debian 12.2.0-14) 12.2.0", "clang version 14.0.6"


@pytest.mark.parametrize(
    ("engine", "isa", "compiler", "expected"),
    [
        ("llama.cpp", "sse3+avx+avx2+f16c+fma", GCC, "llama.cpp/avx2/gcc"),
        ("bitnet.cpp", "avx2+fma+avx512+avx512_bf16", CLANG, "bitnet.cpp/avx512_bf16/clang"),
        ("llama.cpp", "sse3+ssse3", GCC, "llama.cpp/gcc"),  # no order is known
        ("llama.cpp", "neon+arm_fma+llamafile", GCC, "llama.cpp/neon/gcc"),
        ("llama.cpp", "neon+arm_fma+fp16_va+dotprod", GCC, "llama.cpp/neon_fp16/gcc"),
        ("llama.cpp", "neon+arm_fma+fp16_va+dotprod+sve", GCC, "llama.cpp/gcc"),
        ("bitnet.cpp", "neon+arm_fma", CLANG, "bitnet.cpp/neon/clang"),
        # bitnet.cpp names SVE wherever the CPU has it, whatever it was built for
        ("bitnet.cpp", "neon+sve+arm_fma+fp16_va", CLANG, "bitnet.cpp/neon_fp16/clang"),
    ],
)
def test_arithmetic_is_named_after_the_build(engine: str, isa: str, compiler: str, expected: str) -> None:
    fingerprint = Fingerprint(engine, "", compiler, isa, kernels="", threads=1, kv_type="f16", details={})
    stated = with_arithmetic(fingerprint, fuses_sums=False).details["arithmetic"]
    assert stated == expected
    assert arithmetic_named(stated).generation == engine
