"""Looking inside libbitnet: taps, traces that bitparity reads, hashes, metrics and memory."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity.engine import StageValue
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.stages import StageFilter
from bitparity.trace import TraceWriter, read_trace
from bitparity_native.engine import NativeEngine
from native.bitnet_library import (
    ALL,
    BAD_INPUT,
    BUSY,
    LAST,
    LIB,
    Memory,
    Metrics,
    TapFunction,
    checked,
    ids_of,
    last_error,
    load_model,
    open_session,
)

TOKENS = [5, 17, 3, 200, 44]


def run(session: int) -> None:
    """A prefill of four tokens and one decode step."""
    checked(LIB.bitnet_prefill(session, ids_of(TOKENS), 4, ALL))
    checked(LIB.bitnet_decode(session, TOKENS[4]))


def record_front(sink: Any, stages: str = "*:*") -> None:
    """The same in the Python front."""
    front = NativeEngine().open(bundled_model(), context=64, threads=1)
    with front.tap(StageFilter.parse(stages), sink):
        front.prefill(TOKENS[:4])
        front.decode(TOKENS[4])


@pytest.mark.parametrize("stages", ["*:*", "0-1:ffn_*, -1:logits", "attn_probs", "2:q_rope"])
def test_tap_gets_the_values_of_the_python_front(session: int, stages: str) -> None:
    actual: list[tuple[str, int, int, int, bytes]] = []

    def tap(user: Any, stage: bytes, layer: int, position: int, n: int, width: int, values: Any) -> None:
        raw = np.ctypeslib.as_array(values, (n, width)).tobytes()
        actual.append((stage.decode(), layer, position, n, raw))

    function = TapFunction(tap)
    checked(LIB.bitnet_tap(session, None if stages == "*:*" else stages.encode(), function, None))
    run(session)
    expected: list[tuple[str, int, int, int, bytes]] = []

    def sink(value: StageValue) -> None:
        raw = value.values.tobytes()
        expected.append((value.stage, value.layer, value.position, len(value.values), raw))

    record_front(sink, stages)
    assert actual == expected
    checked(LIB.bitnet_tap(session, None, None, None))
    checked(LIB.bitnet_decode(session, 1))
    assert len(actual) == len(expected)


def test_embedding_model_has_the_pooled_stage_of_the_python_front(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    make_model(path, ModelSpec("qwen3-bitnet", n_vocab=300, pooling_type=3))
    tokens = [5, 17, 3, 200]
    pooled: dict[str, NDArray[np.float32]] = {}
    front = NativeEngine().open(path, context=64, threads=1)
    with front.tap(StageFilter.parse("-1:pooled"), lambda v: pooled.update(front=np.array(v.values))):
        front.prefill(tokens)
    function = TapFunction(
        lambda user, stage, layer, position, n, width, values: pooled.update(
            {stage.decode(): np.array(np.ctypeslib.as_array(values, (n, width)))}
        )
    )
    model = load_model(path)
    session = open_session(model)
    checked(LIB.bitnet_tap(session, b"-1:pooled", function, None))
    checked(LIB.bitnet_prefill(session, ids_of(tokens), len(tokens), ALL))
    LIB.bitnet_session_free(session)
    LIB.bitnet_model_free(model)
    np.testing.assert_array_equal(pooled["pooled"], pooled["front"])
    np.testing.assert_allclose(np.linalg.norm(pooled["pooled"], axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("pooling_type", [None, 1])
def test_model_that_pools_otherwise_has_no_pooled_stage(tmp_path: Path, pooling_type: int | None) -> None:
    make_model(tmp_path / "m.gguf", ModelSpec("qwen3", n_vocab=300, pooling_type=pooling_type))
    model = load_model(tmp_path / "m.gguf")
    session = open_session(model)
    assert LIB.bitnet_tap(session, b"-1:pooled", TapFunction(lambda *_: None), None) == BAD_INPUT
    LIB.bitnet_session_free(session)
    LIB.bitnet_model_free(model)


def test_tap_cannot_use_its_session(session: int) -> None:
    statuses = []
    function = TapFunction(lambda *_: statuses.append(LIB.bitnet_rollback(session, 0)))
    checked(LIB.bitnet_tap(session, b"-1:logits", function, None))
    checked(LIB.bitnet_decode(session, 1))
    assert statuses == [BUSY]


@pytest.mark.parametrize(
    "stages", ["", "x:logits", "logit", "9:ffn_out", "0:logits", "-1:ffn_out", "1-:ffn_out"]
)
def test_filter_that_names_nothing_is_refused(session: int, stages: str) -> None:
    assert LIB.bitnet_tap(session, stages.encode(), TapFunction(lambda *_: None), None) == BAD_INPUT
    assert f"stage filter '{stages}'" in last_error()


def test_trace_has_the_records_of_the_python_front(session: int, tmp_path: Path) -> None:
    checked(LIB.bitnet_trace_start(session, str(tmp_path).encode(), None))
    run(session)
    checked(LIB.bitnet_trace_stop(session))
    with TraceWriter(tmp_path, "native") as writer:
        record_front(writer)
    actual, expected = (read_trace(tmp_path / name).records for name in ("libbitnet", "native"))
    assert len(actual) == len(expected) > 400
    statistics = ("rms", "min", "max", "mean")
    for one, other in zip(actual, expected, strict=True):
        same = {
            "engine": other.engine,
            "run": other.run,
            **{name: getattr(other, name) for name in statistics},
        }
        assert one._replace(**same) == other
        assert (one.min, one.max) == (other.min, other.max)
        # Sums are of float32 there and of double here: six digits of a sum of squares, and of a mean as many
        # as its magnitudes have.
        assert one.rms == pytest.approx(other.rms, rel=1e-6)
        assert one.mean == pytest.approx(other.mean, abs=1e-6 * (other.rms or 0))
    meta = json.loads((tmp_path / "libbitnet" / "meta.json").read_text())
    assert meta["fingerprint"]["engine"] == "libbitnet"
    assert meta["fingerprint"]["details"]["arithmetic"].startswith("llama.cpp/")


def test_trace_overwrites_nothing_and_takes_a_filter(session: int, tmp_path: Path) -> None:
    for _ in range(2):
        checked(LIB.bitnet_trace_start(session, str(tmp_path).encode(), b"-1:logits"))
        checked(LIB.bitnet_decode(session, 1))
    checked(LIB.bitnet_trace_stop(session))
    checked(LIB.bitnet_decode(session, 1))
    runs = {path.name: read_trace(path).records for path in tmp_path.iterdir()}
    assert {name: [r.name for r in records] for name, records in runs.items()} == {
        "libbitnet": ["seq1/pos0/logits"],
        "libbitnet-2": ["seq2/pos1/logits"],
    }
    assert LIB.bitnet_trace_start(session, b"/proc/none", None) == BAD_INPUT
    assert "cannot be made" in last_error()


def test_metrics_count_tokens_and_memory_tells_what_is_held(session: int, model: int) -> None:
    metrics = Metrics(size=ctypes.sizeof(Metrics))
    memory = Memory(size=ctypes.sizeof(Memory))
    run(session)
    checked(LIB.bitnet_prefill(session, ids_of([1, 2]), 2, LAST))
    checked(LIB.bitnet_get_metrics(session, ctypes.byref(metrics)))
    assert (metrics.prefill_tokens, metrics.decode_tokens) == (6, 1)
    assert metrics.prefill_seconds > 0 < metrics.decode_seconds
    checked(LIB.bitnet_get_memory(session, ctypes.byref(memory)))
    hyper = open_model(bundled_model()).hyper
    context, bytes_of_f16 = 128, 2
    assert memory.cache_bytes == 2 * bytes_of_f16 * context * hyper.n_layer * hyper.n_embd_kv
    assert memory.logits_bytes == 4 * hyper.n_vocab
    assert memory.model_mapped_bytes == bundled_model().stat().st_size
    checked(LIB.bitnet_reset_metrics(session))
    checked(LIB.bitnet_get_metrics(session, ctypes.byref(metrics)))
    assert (metrics.prefill_tokens, metrics.decode_seconds) == (0, 0)
