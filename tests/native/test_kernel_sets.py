"""Which kernel set runs, and what the bindings refuse."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity_native._core import kernels
from bitparity_native.engine import NativeEngine
from native.models import ModelOf


def test_portable_is_last_and_always_runs() -> None:
    sets = kernels.kernel_sets()
    assert sets[-1] == ("portable", "c++", True)
    assert len({name for name, _, _ in sets}) == len(sets)


def test_session_runs_the_kernel_set_that_was_asked_for(kernel_set: str, model_of: ModelOf) -> None:
    session = NativeEngine(kernels=kernel_set).open(model_of(), context=8, threads=1)
    isa = {name: isa for name, isa, _ in kernels.kernel_sets()}
    assert session.info.fingerprint.kernels == kernel_set
    assert session.info.fingerprint.isa == isa[kernel_set]


def test_session_takes_the_best_kernel_set_by_default(model_of: ModelOf) -> None:
    best = next(name for name, _, runs_here in kernels.kernel_sets() if runs_here)
    session = NativeEngine().open(model_of(), context=8, threads=1)
    assert session.info.fingerprint.kernels == best


def test_unknown_kernel_set_is_named(model_of: ModelOf) -> None:
    with pytest.raises(BadInput, match="kernel set 'avx9' is not built in"):
        NativeEngine(kernels="avx9").open(model_of(), context=8, threads=1)


def test_wrong_dtype_and_strides_are_refused_not_copied() -> None:
    x = np.zeros(64, np.float32)
    with pytest.raises(TypeError):
        kernels.add("portable", x.astype(np.float64), x, x)
    with pytest.raises(TypeError):
        kernels.add("portable", x[::2], x[:32], x[:32])


def test_sizes_that_do_not_fit_are_refused() -> None:
    x = np.zeros(64, np.float32)
    with pytest.raises(ValueError, match="differ in length"):
        kernels.add("portable", x, x[:63], x)
    with pytest.raises(ValueError, match="not a multiple of 16"):
        kernels.softmax("portable", "avx2", x[:13], 1.0)
    with pytest.raises(ValueError, match="order of sums 'sse' is not known"):
        kernels.softmax("portable", "sse", x, 1.0)
    packed, codes = np.zeros(16, np.uint8), np.zeros((1, 64), np.int8)
    one, total = np.ones(1, np.float32), np.zeros(1, np.int32)
    with pytest.raises(ValueError, match="not a multiple of the block"):
        kernels.matmul_i2_s("portable", packed, 1.0, codes, one, total, one.reshape(1, 1))
