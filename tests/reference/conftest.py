"""The references; a test that takes `engine` runs once for each that is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitparity.model.synthetic import ModelSpec, make_model
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.llama_cpp import LlamaCppEngine
from bitparity_reference.llama_engine import LlamaEngine
from bitparity_reference.worker import WorkerSession

ENGINES: dict[str, type[LlamaEngine]] = {"llama.cpp": LlamaCppEngine, "bitnet.cpp": BitnetCppEngine}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> LlamaEngine:
    """A reference that can run here; a skip with its reason, or a failure under --require-reference."""
    found = ENGINES[request.param]()
    available = found.availability()
    if not available.found:
        absent = pytest.fail if request.config.getoption("--require-reference", False) else pytest.skip
        absent(f"{found.name}: {available.what}; {available.advice}")
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
