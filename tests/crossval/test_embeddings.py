"""The embedding of a text, of models shaped like the BitNet-embedding ones, as llama.cpp itself pools it.

llama.cpp has no norms before projections, so the twins are without them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bitparity.engine import StageValue
from bitparity.model.hyperparameters import POOLS_LAST_TOKEN
from bitparity.model.presets import PUBLISHED, shrunk
from bitparity.model.synthetic import make_model
from bitparity.pytest_plugin import require_engine
from bitparity.stages import StageFilter
from bitparity_native.engine import NativeEngine

PLAIN = {"BitNet-embedding-0.6B": "qwen3", "BitNet-embedding-270M": "gemma3"}
N = 24
LIMIT = 2.0**-22  # of two unit vectors: each is divided by a norm that was rounded to float32


@pytest.fixture(scope="module")
def llama_cpp(pytestconfig: pytest.Config) -> ModuleType:
    require_engine(pytestconfig, "llama.cpp")
    module: ModuleType = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    module.llama_backend_init()
    return module


def pooled_by_llama_cpp(llama_cpp: ModuleType, path: Path, ids: list[int]) -> np.ndarray:
    """What llama_get_embeddings_seq gives for one sequence, which is not normalised; (n_embd,) float32."""
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    params = llama_cpp.llama_context_default_params()
    params.embeddings, params.pooling_type, params.flash_attn_type = True, POOLS_LAST_TOKEN, 0
    params.n_ctx = params.n_batch = params.n_ubatch = 64
    params.n_threads = params.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(model, params)
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.logits[i] = token, i, True
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
    assert llama_cpp.llama_decode(context, batch) == 0
    pooled = llama_cpp.llama_get_embeddings_seq(context, 0)
    values = np.ctypeslib.as_array(pooled, (llama_cpp.llama_model_n_embd(model),)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return values


@pytest.mark.parametrize("weight_format", ["TQ2_0", "F16"])
@pytest.mark.parametrize("name", PLAIN)
def test_pooled_embedding_is_the_one_of_llama_cpp(
    llama_cpp: ModuleType, name: str, weight_format: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    path = tmp_path / "model.gguf"
    spec = shrunk(PUBLISHED[name].spec)
    make_model(path, replace(spec, arch=PLAIN[name], weight_format=weight_format, norm_format="F32"))
    ids = [int(i) for i in np.random.default_rng(0).integers(0, spec.n_vocab, N)]
    expected = pooled_by_llama_cpp(llama_cpp, path, ids)
    reference = require_engine(pytestconfig, "llama.cpp").open(path, context=64, threads=1)
    arithmetic = reference.info.fingerprint.details["arithmetic"]
    reference.close()
    session = NativeEngine(arithmetic=arithmetic).open(path, context=64, threads=1)
    actual: dict[str, np.ndarray] = {}

    def sink(value: StageValue) -> None:
        actual[value.stage] = value.values[-1].copy()

    with session.tap(StageFilter.parse("*:*"), sink):
        session.prefill(ids)
    assert actual["final_norm"].tobytes() == expected.tobytes()
    direction = expected.astype(np.float64) / np.linalg.norm(expected.astype(np.float64))
    assert np.linalg.norm(actual["pooled"] - direction) <= LIMIT
