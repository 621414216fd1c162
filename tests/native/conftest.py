"""What the native tests share: every kernel set of this CPU, guarded buffers, small models."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from bitparity.model.synthetic import ModelSpec, make_model
from bitparity_native import _core

SETS = [name for name, _, runs_here in _core.kernels.kernel_sets() if runs_here]
POISON = 0xA5
GUARD = 64  # bytes on either side


def _forbid(array: NDArray[np.uint8], allow: bool = False) -> None:
    """Under AddressSanitizer, have every read and write of these bytes reported, or allow them again."""
    name = f"__asan_{'unpoison' if allow else 'poison'}_memory_region"
    if function := getattr(ctypes.CDLL(None), name, None):
        function(ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.size))


class Guarded:
    """Arrays between guard bytes, at any byte offset, poisoned at first."""

    def __init__(self) -> None:
        self._buffers: list[tuple[NDArray[np.uint8], int, int]] = []

    def empty(self, shape: tuple[int, ...] | int, dtype: DTypeLike, offset: int = 0) -> NDArray[Any]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = np.full(size + 2 * GUARD + offset, POISON, dtype=np.uint8)
        start = GUARD + offset
        self._buffers.append((buffer, start, start + size))
        _forbid(buffer[:start])
        _forbid(buffer[start + size :])
        return np.ndarray(shape, dtype, buffer.data, start)

    def copy(self, values: NDArray[Any], offset: int = 0) -> NDArray[Any]:
        array = self.empty(values.shape, values.dtype, offset)
        array[...] = values
        return array

    def check(self) -> None:
        for buffer, start, end in self._buffers:
            _forbid(buffer, allow=True)
            assert (buffer[:start] == POISON).all(), "bytes before a buffer were written"
            assert (buffer[end:] == POISON).all(), "bytes after a buffer were written"


@pytest.fixture
def guarded() -> Guarded:
    """Its guard bytes are checked by the test, with check()."""
    return Guarded()


@pytest.fixture(scope="session")
def sanitizer() -> str:
    """What `make sanitize` built this core with, address or thread; empty for the core that is used."""
    try:
        from bitparity_native import _planted_errors
    except ImportError:
        return ""
    return str(_planted_errors.sanitizer)


@pytest.fixture(params=SETS)
def kernel_set(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=_core.kernels.orders())
def order(request: pytest.FixtureRequest) -> str:
    """An order of float sums (native/include/bitnet/kernels.hpp), whatever this CPU has."""
    return str(request.param)


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A synthetic model with the given fields of ModelSpec, made once."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def make(**fields: Any) -> Path:
        spec = ModelSpec(**fields)
        if spec not in made:
            made[spec] = folder / f"{len(made)}.gguf"
            make_model(made[spec], spec)
        return made[spec]

    return make
