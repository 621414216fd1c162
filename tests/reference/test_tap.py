"""What the tap records is what the stage's name says, by arithmetic that owes nothing to the engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.engine import Floats, StageValue
from bitparity.stages import STAGE_NAMES, StageFilter, graph_order
from bitparity.trace import TraceWriter, read_trace
from bitparity.worker.session import WorkerSession
from bitparity_reference.llama_engine import LlamaEngine

TOKENS = [(i * 37) % 256 for i in range(24)]
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 64
EVERYTHING = StageFilter.parse()

Recorded = dict[tuple[int, str], Floats]


def record(session: WorkerSession, stages: StageFilter = EVERYTHING) -> list[StageValue]:
    """Stages of one prefill; the session is rolled back."""
    got: list[StageValue] = []
    with session.tap(stages, got.append):
        session.prefill(TOKENS)
    session.rollback(0)
    return got


def by_name(values: list[StageValue]) -> Recorded:
    return {(v.layer, v.stage): v.values for v in values}


@pytest.fixture
def recorded(session: WorkerSession) -> Recorded:
    return by_name(record(session))


def test_tap_records_each_stage_of_each_architecture(
    engine: LlamaEngine, model_file: Callable[..., Path]
) -> None:
    for arch in engine.graphs:
        session = engine.open(model_file(arch=arch, weight_format="F16"), context=32, threads=1)
        got = record(session)
        session.close()
        stages = ARCHITECTURES[arch].by_name
        wanted = [pair for pair in EVERYTHING.pairs(2) if pair[1] in stages]
        assert [(v.layer, v.stage) for v in got] == wanted, arch
        assert all(v.position == 0 and v.seq == 0 and len(v.values) == len(TOKENS) for v in got)
        assert all(np.isfinite(v.values).all() and v.values.dtype == np.float32 for v in got)
        assert {v.stage for v in got} == set(stages)


@pytest.mark.parametrize(
    ("n_prefill", "batches"),
    [(5, {5}), (513, {512, 1}), (517, {512, 5})],
    ids=["one batch", "and one of one", "two batches"],
)
def test_trace_of_a_prefill_says_which_positions_were_computed_together(
    session: WorkerSession, tmp_path: Path, n_prefill: int, batches: set[int]
) -> None:
    ids = [TOKENS[i % len(TOKENS)] for i in range(n_prefill)]
    with TraceWriter(tmp_path, "x") as writer, writer.recording(session, EVERYTHING):
        session.prefill(ids, logits="last")
        session.decode(TOKENS[5])
    session.rollback(0)
    trace = read_trace(writer.path)
    assert {record.batch for record in trace if record.seq == 0 and record.layer == 0} == batches
    assert {key.position for key in trace.rows} == set(range(n_prefill + 1))
    assert len({record.name for record in trace}) == len(trace)


def test_tap_changes_no_bit(engine: LlamaEngine, model_file: Callable[..., Path]) -> None:
    formats = ("F32", "F16", "TQ2_0", "I2_S")
    for weight_format in [f for f in formats if f in engine.weight_formats]:
        session = engine.open(model_file(weight_format=weight_format), context=32, threads=1)
        plain = session.prefill(TOKENS), session.decode(5)
        session.rollback(0)
        with session.tap(EVERYTHING, lambda value: None):
            tapped = session.prefill(TOKENS), session.decode(5)
        session.close()
        assert all(map(np.array_equal, plain, tapped)), weight_format


def test_tap_one_stage_records_the_same_bits_as_all(session: WorkerSession, recorded: Recorded) -> None:
    for stage in STAGE_NAMES:
        for value in record(session, StageFilter.parse(stage)):
            assert value.stage == stage
            assert np.array_equal(value.values, recorded[value.layer, stage]), (value.layer, stage)


def test_tap_logits_are_the_logits(session: WorkerSession, recorded: Recorded) -> None:
    assert np.array_equal(recorded[-1, "logits"], session.prefill(TOKENS))


def test_tap_shapes_are_positions_then_the_stages_own(recorded: Recorded) -> None:
    shapes = {stage: recorded[1, stage].shape[1:] for layer, stage in recorded if layer == 1}
    assert shapes["q_proj"] == shapes["q_rope"] == shapes["attn_ctx"] == (HEADS * HEAD_DIM,)
    assert shapes["k_proj"] == shapes["k_rope"] == shapes["v_proj"] == (KV_HEADS * HEAD_DIM,)
    assert shapes["ffn_gate"] == shapes["ffn_up"] == shapes["ffn_act"] == shapes["ffn_sub_norm"] == (768,)
    assert shapes["attn_probs"] == (HEADS, len(TOKENS))


def test_tap_residuals_are_sums_of_what_was_recorded(recorded: Recorded) -> None:
    entering = recorded[-1, "embeddings"]
    for layer in (0, 1):
        after_attention = entering + recorded[layer, "attn_out"]
        assert np.array_equal(recorded[layer, "attn_residual"], after_attention)
        assert np.array_equal(recorded[layer, "layer_out"], after_attention + recorded[layer, "ffn_out"])
        entering = recorded[layer, "layer_out"]


def test_tap_rope_turns_pairs_and_leaves_position_0(recorded: Recorded) -> None:
    for projected, turned in (("q_proj", "q_rope"), ("k_proj", "k_rope")):
        before, after = recorded[0, projected], recorded[0, turned]
        assert np.array_equal(before[0], after[0])  # angle 0
        assert not np.allclose(before[1:], after[1:])
        lengths = [np.linalg.norm(x.reshape(len(x), -1, 2, HEAD_DIM // 2), axis=2) for x in (before, after)]
        np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-5)  # a few float32 roundings of a rotation


def test_tap_probabilities_are_causal_rows_that_sum_to_one(recorded: Recorded) -> None:
    for layer in (0, 1):
        probs = recorded[layer, "attn_probs"]
        later = np.triu(np.ones((len(TOKENS), len(TOKENS)), bool), k=1)
        assert not probs.transpose(1, 0, 2)[:, later].any()
        # each probability is off by a few roundings of 2^-24 of itself, and together they are 1
        np.testing.assert_allclose(probs.sum(axis=2, dtype=np.float64), 1.0, atol=1e-6)


def test_tap_scores_and_context_follow_from_what_was_recorded(recorded: Recorded) -> None:
    n, group = len(TOKENS), HEADS // KV_HEADS
    for layer in (0, 1):
        q = recorded[layer, "q_rope"].reshape(n, HEADS, HEAD_DIM).astype(np.float64)
        k = recorded[layer, "k_rope"].reshape(n, KV_HEADS, HEAD_DIM).repeat(group, axis=1)
        v = recorded[layer, "v_proj"].reshape(n, KV_HEADS, HEAD_DIM).repeat(group, axis=1)
        scores = np.einsum("ihd,jhd->ihj", q, k) / np.sqrt(HEAD_DIM)
        scores[np.broadcast_to(np.triu(np.ones((n, n), bool), k=1)[:, None], scores.shape)] = -np.inf
        expected = np.exp(scores - scores.max(axis=2, keepdims=True))
        expected /= expected.sum(axis=2, keepdims=True)
        probs = recorded[layer, "attn_probs"]
        # Q and K are rounded to F16: 2^-11 of each product, here times scores of the order of ten
        np.testing.assert_allclose(probs, expected, atol=2e-2)
        context = np.einsum("ihj,jhd->ihd", probs.astype(np.float64), v).reshape(n, -1)
        error = np.linalg.norm(recorded[layer, "attn_ctx"] - context) / np.linalg.norm(context)
        assert error < 2**-10  # V, and in places the probabilities, are rounded to F16: 2^-11 each


def test_tap_norms_are_of_what_enters_them(recorded: Recorded) -> None:
    pairs = [
        (recorded[-1, "embeddings"], recorded[0, "attn_norm"]),
        (recorded[0, "attn_ctx"], recorded[0, "attn_sub_norm"]),
        (recorded[0, "attn_residual"], recorded[0, "ffn_norm"]),
        (recorded[0, "ffn_act"], recorded[0, "ffn_sub_norm"]),
        (recorded[1, "layer_out"], recorded[-1, "final_norm"]),
    ]
    for entering, leaving in pairs:
        # what a norm leaves is its input times one number a row times one number a column: rank one
        columns = (entering != 0).all(axis=0)  # 0 / 0 says nothing
        ratio = leaving[:, columns].astype(np.float64) / entering[:, columns]
        ratio /= ratio[:1]
        variation = ratio.max(axis=1) / ratio.min(axis=1) - 1
        assert (variation < 1e-5).all()  # a few float32 roundings


def test_tap_activation_is_that_of_the_architecture(
    engine: LlamaEngine, model_file: Callable[..., Path]
) -> None:
    for arch in engine.graphs:
        session = engine.open(model_file(arch=arch, weight_format="F16"), context=32, threads=1)
        values = by_name(record(session, StageFilter.parse("0:ffn_*")))
        session.close()
        gate, up = (values[0, stage].astype(np.float64) for stage in ("ffn_gate", "ffn_up"))
        # float32 throughout; the vectorised exponential is good to 2 ulp
        rtol, atol = 2e-6, 1e-30
        if arch in ("bitnet-25", "bitnet-b1.58"):
            expected = np.maximum(gate, 0) ** 2 * up
        elif arch == "gemma3":  # looked up by the F16 number next to the gate: 2^-11 of both
            half = gate.astype(np.float16).astype(np.float64)
            expected = 0.5 * half * (1 + np.tanh(np.sqrt(2 / np.pi) * (half + 0.044715 * half**3))) * up
            rtol, atol = 2**-10, 1e-5
        else:
            expected = gate / (1 + np.exp(-gate)) * up
        np.testing.assert_allclose(values[0, "ffn_act"], expected, rtol=rtol, atol=atol, err_msg=arch)


def test_tap_decode_steps_continue_positions_and_count_up(session: WorkerSession) -> None:
    got: list[StageValue] = []
    with session.tap(StageFilter.parse("1:attn_probs,1:k_rope,logits"), got.append):
        session.prefill(TOKENS[:3])
        first, second = session.decode(9), session.decode(9)
    facts = [(v.stage, v.seq, v.position, v.values.shape) for v in got if v.stage != "logits"]
    assert facts == [
        ("k_rope", 0, 0, (3, 128)),
        ("attn_probs", 0, 0, (3, HEADS, 3)),
        ("k_rope", 1, 3, (1, 128)),
        ("attn_probs", 1, 3, (1, HEADS, 4)),
        ("k_rope", 2, 4, (1, 128)),
        ("attn_probs", 2, 4, (1, HEADS, 5)),
    ]
    logits = [v.values[0] for v in got if v.stage == "logits" and v.seq > 0]
    assert np.array_equal(logits, [first, second])


def test_tap_last_logits_only_records_reduced_stages_as_what_they_are(session: WorkerSession) -> None:
    got: list[StageValue] = []
    with session.tap(EVERYTHING, got.append):
        session.prefill(TOKENS, logits="last")
    rows = {(v.layer, v.stage): (v.position, len(v.values)) for v in got}
    whole, last = (0, 24), (23, 1)
    assert rows[0, "layer_out"] == rows[1, "attn_out"] == rows[1, "attn_probs"] == whole
    assert rows[1, "attn_residual"] == rows[1, "ffn_act"] == rows[1, "layer_out"] == last
    assert rows[-1, "final_norm"] == rows[-1, "logits"] == last


def test_tap_long_prompt_is_recorded_chunk_by_chunk_in_graph_order(session: WorkerSession) -> None:
    tokens = [(i * 53) % 256 for i in range(600)]
    got: list[StageValue] = []
    with session.tap(EVERYTHING, got.append):
        session.prefill(tokens)
    chunks = {position: [v for v in got if v.position == position] for position in (0, 512)}
    assert len(chunks[0]) + len(chunks[512]) == len(got)
    for position, values in chunks.items():
        keys = [graph_order(v.layer, v.stage) for v in values]
        assert keys == sorted(keys)
        assert {len(v.values) for v in values} == {512 if position == 0 else 88}
    assert by_name(chunks[512])[1, "attn_probs"].shape == (88, HEADS, 600)


def test_tap_sink_that_raises_leaves_the_session_usable(session: WorkerSession) -> None:
    def sink(value: StageValue) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"), session.tap(EVERYTHING, sink):
        session.prefill(TOKENS)
    session.rollback(0)
    assert len(record(session)) == len(
        [p for p in EVERYTHING.pairs(2) if p[1] in ARCHITECTURES["bitnet"].by_name]
    )
