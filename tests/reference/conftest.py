"""The references; a test that takes `engine` runs once for each that is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.pytest_plugin import require_engine
from bitparity.worker.session import WorkerSession
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.llama_cpp import LlamaCppEngine
from bitparity_reference.llama_engine import LlamaEngine


@pytest.fixture
def llama_cpp(pytestconfig: pytest.Config) -> LlamaCppEngine:
    found = require_engine(pytestconfig, "llama.cpp")
    assert isinstance(found, LlamaCppEngine)
    return found


@pytest.fixture
def bitnet_cpp(pytestconfig: pytest.Config) -> BitnetCppEngine:
    found = require_engine(pytestconfig, "bitnet.cpp")
    assert isinstance(found, BitnetCppEngine)
    return found


@pytest.fixture(params=["llama.cpp", "bitnet.cpp"])
def engine(request: pytest.FixtureRequest) -> LlamaEngine:
    """Either reference."""
    found = require_engine(request.config, request.param)
    assert isinstance(found, LlamaEngine)
    return found


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a synthetic model of a ModelSpec's fields, once for each."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[ModelSpec, Path] = {}

    def make(**fields: object) -> Path:
        spec = ModelSpec(**fields)  # type: ignore[arg-type]
        if spec not in made:
            path = folder / f"{len(made)}-{spec.arch}-{spec.weight_format}.gguf"
            make_model(path, spec)
            made[spec] = path
        return made[spec]

    return make


@pytest.fixture
def session(engine: LlamaEngine, model_file: Callable[..., Path]) -> Iterator[WorkerSession]:
    """Four heads, two KV heads, two layers; a context of two chunks and a bit."""
    opened = engine.open(model_file(arch="bitnet", weight_format="TQ2_0"), context=1100, threads=1)
    yield opened
    opened.close()
