"""What the native tests share: every kernel set of this CPU, guarded buffers, small models."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from bitparity.model.bundled import bundled_model
from bitparity_native import _core
from native.bitnet_library import LIB, load_model, open_session
from native.guarded import Guarded
from native.models import ModelOf, model_maker

SETS = [name for name, _, runs_here in _core.kernels.kernel_sets() if runs_here]


@pytest.fixture
def guarded() -> Guarded:
    """Its guard bytes are checked by the test, with check()."""
    return Guarded()


@pytest.fixture(scope="session")
def sanitizer() -> str:
    """What `make sanitize` built this core with, address or thread; empty for the core that is used."""
    try:
        planted = import_module("bitparity_native._planted_errors")
    except ImportError:
        return ""
    return str(planted.sanitizer)


@pytest.fixture(params=SETS)
def kernel_set(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=_core.kernels.orders())
def order(request: pytest.FixtureRequest) -> str:
    """An order of float sums (native/include/bitnet/kernels.hpp), whatever this CPU has."""
    return str(request.param)


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> ModelOf:
    """A synthetic model with the given fields of ModelSpec, made once."""
    return model_maker(tmp_path_factory.mktemp("models"))


@pytest.fixture
def model() -> Iterator[int]:
    """Handle of the bundled model in libbitnet."""
    handle = load_model(bundled_model())
    yield handle
    LIB.bitnet_model_free(handle)


@pytest.fixture
def session(model: int) -> Iterator[int]:
    """Handle of an empty session of it."""
    handle = open_session(model, context=128, threads=2)
    yield handle
    LIB.bitnet_session_free(handle)
