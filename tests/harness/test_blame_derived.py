"""Blame of traces that lack stages: those are derived, in every way that a sound engine may compute them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitparity.blame.bounds import allowed_error
from bitparity.blame.engines import Evidence, judge_engine
from bitparity.engine import StageValue
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import BITNET_CPP, LLAMA_CPP, Arithmetic
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.ops import Doubles
from bitparity.stages import StageFilter
from bitparity.trace import MemoryTrace
from harness.blame_cases import (
    TOKENS,
    MakePath,
    plant_oracle,
    record,
    without,
)


@pytest.mark.parametrize("left_out", ["attn_sub_norm", "q_rope", "attn_probs", "ffn_act", "k_rope", "v_proj"])
def test_stage_that_is_not_recorded_is_derived(path_of: MakePath, left_out: str) -> None:
    path = path_of(arch="bitnet-b1.58")
    trace = record(path, OracleEngine(), change=without(left_out))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.cause is None, judged.sentence()
    assert not judged.not_judged
    assert judged.absent == (left_out,)


@pytest.mark.parametrize("arithmetic", [BITNET_CPP, LLAMA_CPP], ids=lambda n: n.name)
@pytest.mark.parametrize("chunks", ["decode", "mixed"])
@pytest.mark.parametrize(
    "left_out",
    [
        ("v_proj",),
        ("k_rope",),
        ("k_proj", "k_rope"),
        ("q_proj", "q_rope", "k_proj", "k_rope", "v_proj"),
        ("attn_out",),
        ("attn_sub_norm", "attn_out"),
        ("ffn_gate", "ffn_up"),
        ("ffn_norm", "ffn_gate", "ffn_up"),
    ],
    ids=",".join,
)
def test_derived_stage_is_rounded_by_the_batch_of_each_position(
    path_of: MakePath, left_out: tuple[str, ...], chunks: str, arithmetic: Arithmetic
) -> None:
    """F16 weights: bitnet.cpp rounds the input of a projection to F16 where one token is run alone."""
    path = path_of(arch="bitnet", weight_format="F16")
    trace = record(path, OracleEngine(arithmetic), chunks=chunks, change=without(*left_out))
    judged = judge_engine(open_model(path), Evidence(trace, arithmetic), tokens=TOKENS)
    assert judged.cause is None, judged.sentence()
    assert set(judged.absent) == set(left_out)


def test_derived_stage_of_a_last_row_alone_is_rounded_by_the_batch_it_was_in(path_of: MakePath) -> None:
    """When no other logits are asked for, only the last row goes beyond the last layer's attention."""
    path = path_of(arch="bitnet", weight_format="F16")
    trace = MemoryTrace("oracle")
    session = OracleEngine().open(path, context=len(TOKENS), threads=1)

    def sink(value: StageValue) -> None:
        if value.stage not in ("attn_out", "ffn_gate", "ffn_up", "v_proj"):
            trace(value)

    with session.tap(StageFilter.parse(), sink):
        session.prefill(TOKENS[:4], logits="last")
        session.decode(TOKENS[4])
        session.prefill(TOKENS[5:], logits="last")
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.cause is None, judged.sentence()
    assert not judged.not_judged


@pytest.mark.parametrize(
    ("reading", "left_out"),
    [
        ({"rope_by_recurrence": False}, ("q_rope",)),
        ({"rope_by_recurrence": False}, ("k_rope",)),
        ({"fused_quantiser": True}, ("ffn_gate",)),
        ({"fused_quantiser": True}, ("ffn_norm", "ffn_gate", "ffn_up")),
        ({"fused_quantiser": True, "rope_by_recurrence": False}, ("q_proj", "q_rope", "k_proj", "k_rope")),
    ],
    ids=str,
)
def test_derived_stage_may_be_computed_in_every_way_that_is_right(
    path_of: MakePath, reading: dict[str, Any], left_out: tuple[str, ...]
) -> None:
    """Long enough for angles to differ, and for an activation next to a tie of the int8 rounding."""
    path = path_of(arch="bitnet-b1.58")
    tokens = [int(t) for t in np.random.default_rng(0).integers(0, 320, 110)]
    engine = OracleEngine(replace(BITNET_CPP, **reading))
    trace = record(path, engine, chunks="prefill", tokens=tokens, change=without(*left_out))
    judged = judge_engine(
        open_model(path), Evidence(trace, BITNET_CPP), tokens=tokens, stages=StageFilter.parse("0-1:*")
    )
    assert judged.cause is None, judged.sentence()
    assert set(judged.absent) == set(left_out)


class Imprecise(Definition):
    """A sound engine whose errors are up to 0.4 of what is allowed; sums of two are exact in any engine."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._rng = np.random.default_rng(0)

    def compute(self, stage: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        output = super().compute(stage, place, inputs)
        if stage in ("embeddings", "attn_residual", "layer_out"):
            return output
        allowed = allowed_error(self, stage, place, inputs, output)
        imprecise: Doubles = output + self._rng.uniform(-0.4, 0.4, output.shape) * allowed
        return imprecise


@pytest.fixture(scope="module", params=["bitnet", "llama"])
def imprecise(request: pytest.FixtureRequest, path_of: MakePath) -> tuple[Model, list[StageValue]]:
    """Decode steps of that engine with F16 weights, long enough for values next to a tie of F16."""
    path = path_of(arch=request.param, weight_format="F16")
    values: list[StageValue] = []
    engine = OracleEngine(LLAMA_CPP, make_definition=Imprecise.of)
    session = engine.open(path, context=48, threads=1)
    with session.tap(StageFilter.parse("-1:embeddings,*:*"), values.append):
        for token in np.random.default_rng(1).integers(0, 320, 48):
            session.decode(int(token))
    return open_model(path), values


@pytest.mark.parametrize(
    "left_out",
    [("attn_norm",), ("attn_probs",), ("ffn_act",), ("ffn_norm", "ffn_gate", "ffn_up"), ("k_rope", "v_proj")],
    ids=",".join,
)
def test_error_of_a_derived_stage_that_rounding_makes_large_is_allowed(
    imprecise: tuple[Model, list[StageValue]], left_out: tuple[str, ...]
) -> None:
    model, values = imprecise
    trace = MemoryTrace("imprecise")
    for value in values:
        if value.stage not in left_out:
            trace(value)
    judged = judge_engine(model, Evidence(trace, LLAMA_CPP), stages=StageFilter.parse("0-1:*"))
    assert judged.cause is None, judged.sentence()
    assert not judged.not_judged


def test_fault_in_a_stage_that_is_not_recorded_is_found_at_the_next(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    trace = record(path, plant_oracle("wrong activation"), change=without("ffn_act"))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.cause is not None
    assert judged.cause.local.stage == "ffn_sub_norm"
    assert "or in ffn_act, which is not recorded" in judged.cause.words
