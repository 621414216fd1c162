"""Taps: which stages arrive, in which order and shape, and that recording changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.engine import Floats, StageValue
from bitparity.model import open_model
from bitparity.stages import POSITIONS_SO_FAR, StageFilter, graph_order, stage_named
from bitparity.trace import TraceWriter, read_trace
from bitparity_native.engine import NativeEngine, NativeSession
from native.models import ModelOf

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def record(session: NativeSession, text: str, run: Callable[[NativeSession], object]) -> list[StageValue]:
    values: list[StageValue] = []
    with session.tap(StageFilter.parse(text), values.append):
        run(session)
    return values


@pytest.fixture
def session(model_of: ModelOf) -> NativeSession:
    return NativeEngine().open(model_of(arch="bitnet-b1.58"), context=640, threads=2)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_stages_arrive_in_the_order_and_shapes_that_the_architecture_tells(
    model_of: ModelOf, arch: str
) -> None:
    """The core and the list are two tellings of one graph; this holds them together."""
    path = model_of(arch=arch)
    hyper, n = open_model(path).hyper, len(IDS)
    session = NativeEngine().open(path, context=32, threads=1)
    values = record(session, "*:*", lambda s: s.prefill(IDS))
    block = [stage.name for stage in hyper.architecture.block]
    blocks = [(layer, stage) for layer in range(hyper.n_layer) for stage in block]
    found = [(v.layer, v.stage) for v in values]
    assert found == [(-1, "embeddings"), *blocks, (-1, "final_norm"), (-1, "logits")]
    assert found == sorted(found, key=lambda pair: graph_order(*pair))
    for value in values:
        axes = stage_named(value.stage).axes
        shape = [n if axis == POSITIONS_SO_FAR else hyper.size(axis) for axis in axes]
        assert value.values.shape == (n, *shape), value.stage
        assert (value.seq, value.position) == (0, 0)


def test_stages_have_the_shapes_of_the_contract(session: NativeSession) -> None:
    shapes = {v.stage: v.values.shape for v in record(session, "*:*", lambda s: s.prefill(IDS))}
    n, widths = len(IDS), {"k_proj": 128, "v_proj": 128, "k_rope": 128, "logits": 512}
    for stage in ("ffn_gate", "ffn_up", "ffn_act", "ffn_sub_norm"):
        widths[stage] = 768
    assert shapes.pop("attn_probs") == (n, 4, n)
    assert shapes == {stage: (n, widths.get(stage, 256)) for stage in shapes}


def test_sub_norms_are_absent_where_the_architecture_has_none(model_of: ModelOf) -> None:
    session = NativeEngine().open(model_of(arch="llama"), context=32, threads=1)
    stages = {v.stage for v in record(session, "*:*", lambda s: s.prefill(IDS))}
    assert stages
    assert not stages & {"attn_sub_norm", "ffn_sub_norm"}


def test_probabilities_are_causal_and_sum_to_one(session: NativeSession) -> None:
    for v in record(session, "*:attn_probs", lambda s: s.prefill(IDS)):
        rows = v.values.astype(np.float64)
        assert np.allclose(rows.sum(axis=2), 1, atol=1e-6)
        assert not np.triu(np.moveaxis(rows, 1, 0), 1).any()
        assert (np.tril(np.moveaxis(rows, 1, 0)) > 0).sum() == 4 * 8 * 9 // 2


def test_decode_steps_are_numbered_and_see_all_positions(session: NativeSession) -> None:
    session.prefill(IDS)
    values = record(session, "1:attn_probs,-1:logits", lambda s: [s.decode(t) for t in (7, 8, 9)])
    assert [(v.stage, v.seq, v.position, v.values.shape) for v in values] == [
        ("attn_probs", 1, 8, (1, 4, 9)),
        ("logits", 1, 8, (1, 512)),
        ("attn_probs", 2, 9, (1, 4, 10)),
        ("logits", 2, 9, (1, 512)),
        ("attn_probs", 3, 10, (1, 4, 11)),
        ("logits", 3, 10, (1, 512)),
    ]


def test_long_prefill_is_one_value_a_stage(session: NativeSession, model_of: ModelOf) -> None:
    ids = IDS * 75  # longer than the engine works on at once
    values = {(v.layer, v.stage): v.values for v in record(session, "*:*", lambda s: s.prefill(ids))}
    assert values[1, "attn_probs"].shape == (600, 4, 600)
    assert len(values[1, "ffn_out"]) == 600
    short = NativeEngine().open(model_of(arch="bitnet-b1.58"), context=640, threads=1)
    first = {(v.layer, v.stage): v.values for v in record(short, "*:*", lambda s: s.prefill(ids[:150]))}
    for pair, value in first.items():
        whole = values[pair][:150]
        assert np.array_equal(whole[..., :150] if pair[1] == "attn_probs" else whole, value), pair


def test_logits_stage_is_what_the_call_returns(session: NativeSession) -> None:
    logits: dict[str, Floats] = {}
    values = record(session, "-1:logits", lambda s: logits.update(all=s.prefill(IDS)))
    assert np.array_equal(values[0].values, logits["all"])
    values = record(session, "-1:*", lambda s: logits.update(last=s.prefill(IDS, logits="last")))
    assert [(v.stage, v.position, len(v.values)) for v in values] == [
        ("embeddings", 8, 8),
        ("final_norm", 15, 1),
        ("logits", 15, 1),
    ]
    assert np.array_equal(values[2].values, logits["last"])


def test_recording_changes_no_bit_and_ends_with_the_tap(session: NativeSession, model_of: ModelOf) -> None:
    plain = NativeEngine().open(model_of(arch="bitnet-b1.58"), context=640, threads=2).prefill(IDS)
    tapped: dict[str, Floats] = {}
    values = record(session, "*:*", lambda s: tapped.update(logits=s.prefill(IDS)))
    assert np.array_equal(tapped["logits"], plain)
    count = len(values)
    session.decode(1)
    assert len(values) == count


def test_stages_arrive_while_the_call_runs(session: NativeSession) -> None:
    """So a consumer can keep up, and no call has to be kept in memory whole."""
    seen: list[int] = []
    with session.tap(StageFilter.parse("*:ffn_out"), lambda value: seen.append(session.position)):
        session.prefill(IDS)
    assert seen == [0, 0]
    assert session.position == len(IDS)


def test_what_a_sink_raises_is_raised_after_the_call_and_leaves_the_session_usable(
    session: NativeSession, model_of: ModelOf
) -> None:
    seen: list[StageValue] = []

    def full(value: StageValue) -> None:
        seen.append(value)
        raise OSError("no space left")

    with session.tap(StageFilter.parse("*:*"), full), pytest.raises(OSError, match="no space left"):
        session.prefill(IDS)
    assert len(seen) == 1
    assert session.position == len(IDS)
    plain = NativeEngine().open(model_of(arch="bitnet-b1.58"), context=640, threads=2)
    plain.prefill(IDS)
    assert np.array_equal(session.decode(7), plain.decode(7))


@pytest.mark.parametrize("n_prefill", [6, 517], ids=["one chunk", "two chunks"])
def test_trace_of_a_session_has_a_record_of_every_stage_and_position(
    session: NativeSession, tmp_path: Path, n_prefill: int
) -> None:
    ids = [int(i) for i in np.random.default_rng(3).integers(0, 500, n_prefill)]
    with (
        TraceWriter(tmp_path, "native") as writer,
        writer.recording(session, StageFilter.parse("*:*")),
    ):
        session.prefill(ids, logits="last")
        session.rollback(n_prefill - 2)
        session.prefill(ids[-2:])  # once more, but the logits of the last but one for the first time
        session.rollback(n_prefill - 1)
        session.prefill(ids[-1:])
        session.decode(7)
    trace = read_trace(writer.path)
    assert len({record.name for record in trace}) == len(trace) == (n_prefill + 4) * (2 * 18 + 1) + 2 * 5
    assert {record.batch for record in trace} == {1, 2, n_prefill}


def test_two_taps_each_get_their_own_stages(session: NativeSession) -> None:
    outer: list[StageValue] = []
    with session.tap(StageFilter.parse("0:*"), outer.append):
        inner = record(session, "*:ffn_act", lambda s: s.prefill(IDS))
        session.decode(2)
    assert [(v.layer, v.stage) for v in inner] == [(0, "ffn_act"), (1, "ffn_act")]
    assert {v.layer for v in outer} == {0}
    assert {v.seq for v in outer} == {0, 1}
