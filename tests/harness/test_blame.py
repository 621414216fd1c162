"""Blame: sound engines are never guilty, and whatever is wrong is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitparity.blame.bisect import blame_sessions, windows
from bitparity.blame.engines import Evidence, blame, judge_engine
from bitparity.blame.judge import Judge, LocalError
from bitparity.compare.chunking import Chunking
from bitparity.engine import Floats
from bitparity.errors import NotCompared
from bitparity.faults.catalogue import CATALOGUE, Fault
from bitparity.faults.plant import plant
from bitparity.model import open_model
from bitparity.oracle.arithmetic import BITNET_CPP, LLAMA_CPP, Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine
from bitparity.stages import StageFilter, graph_order
from bitparity.trace import MemoryTrace
from harness.blame_cases import (
    TOKENS,
    MakePath,
    edit,
    plant_oracle,
    record,
    without,
)


@pytest.mark.parametrize("arithmetic", [BITNET_CPP, LLAMA_CPP], ids=lambda n: n.name)
@pytest.mark.parametrize(
    ("arch", "weight_format"),
    [
        ("bitnet", "I2_S"),
        ("bitnet-b1.58", "TQ1_0"),
        ("bitnet-25", "F16"),
        ("llama", "TQ2_0"),
        ("llama", "Q2_0"),
        ("llama", "F32"),
    ],
)
def test_sound_engine_is_judged_everywhere_and_guilty_nowhere(
    path_of: MakePath, arch: str, weight_format: str, arithmetic: Arithmetic
) -> None:
    path = path_of(arch=arch, weight_format=weight_format)
    engine = OracleEngine(arithmetic)
    trace = record(path, engine)
    model = open_model(path)
    judged = judge_engine(model, Evidence(trace, arithmetic), tokens=TOKENS)
    assert judged.cause is None, judged.sentence()
    assert not judged.not_judged
    assert not judged.absent
    in_blocks = len(model.hyper.architecture.block)
    assert len(judged.stages) == 3 + 2 * in_blocks
    assert all(s.positions == len(TOKENS) for s in judged.stages)


def test_wrong_arithmetic_is_seen_and_put_into_words(path_of: MakePath) -> None:
    """1e-4 of an attention row decides; no tolerance covers it up."""
    path = path_of()
    trace = record(path, OracleEngine(LLAMA_CPP), chunks="prefill")
    blocks = StageFilter.parse("0-1:*")
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS, stages=blocks)
    assert {s.stage for s in judged.guilty_stages()} == {"attn_ctx"}
    assert "it rounds softmax rows to F16 before x V" in judged.sentence()


@pytest.mark.parametrize("fault", [f for f in CATALOGUE if f.row is None], ids=lambda f: f.name)
def test_planted_fault_is_found_where_it_was_planted(path_of: MakePath, fault: Fault) -> None:
    path = path_of(arch="bitnet-b1.58")
    model = open_model(path)
    engine = plant(fault, OracleEngine())
    assert isinstance(engine, OracleEngine)
    expected = Evidence(record(path, OracleEngine(), name="sound"), BITNET_CPP)
    actual = Evidence(record(path, engine, name="faulty"), BITNET_CPP)
    report = blame(model, expected, actual, tokens=TOKENS)
    assert report.exit_code == 1
    assert report.expected.cause is None
    assert report.actual.cause is not None
    local = report.actual.cause.local
    assert (local.layer, local.stage) == (fault.layer, fault.stage)
    assert fault.position is None or local.position == fault.position
    assert fault.says in report.sentence
    assert report.sentence.startswith("faulty is wrong: ")


@pytest.mark.parametrize(
    ("name", "stage", "says"),
    [("wrong activation", "ffn_act", "computes"), ("RoPE pairing", "q_rope", "rotates pairs")],
)
def test_rounding_never_hides_a_mistake(path_of: MakePath, name: str, stage: str, says: str) -> None:
    """Softmax rows are rounded otherwise in every layer from position 0 on, and are told last."""
    path = path_of(arch="bitnet-b1.58")
    fault = next(fault for fault in CATALOGUE if fault.name == name)
    assert fault.alter is not None
    altered = fault.alter(open_model(path))
    engine = OracleEngine(LLAMA_CPP, lambda _, arithmetic: Definition.of(altered, arithmetic))
    trace = record(path, engine, chunks="prefill")
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.cause is not None
    assert judged.cause.local.stage == stage
    assert says in judged.cause.words
    assert [c.local.stage for c in judged.causes if c.is_rounding] == ["attn_ctx", "logits"]
    assert "; also layer 0, attn_ctx: it rounds softmax rows to F16 before x V" in judged.sentence()


def test_a_position_off_by_an_ulp_besides_does_not_suppress_an_explanation(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")

    def nudge(values: Floats) -> Floats:
        largest = np.abs(values[4]).argmax()
        values[4, largest] *= np.float32(1 + 2**-20)
        return values

    engine = OracleEngine(BITNET_CPP.having(rounding="zero"))
    tokens = [int(t) for t in np.random.default_rng(0).integers(0, 320, 60)]
    trace = record(path, engine, chunks="prefill", tokens=tokens, change=edit(1, "ffn_out", nudge))
    only = StageFilter.parse("1:ffn_out")
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=tokens, stages=only)
    assert judged.cause is not None
    assert "rounds int8 activations towards zero" in judged.cause.words


def test_one_mistake_at_two_stages_is_told_once_where_it_shows_first(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    trace = record(path, plant_oracle("wrong KV head"))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    (cause,) = judged.causes
    assert cause.stages == tuple((layer, s) for layer in (0, 1) for s in ("attn_probs", "attn_ctx"))
    assert (cause.local.stage, cause.local.position) == ("attn_ctx", 0)
    assert cause.elsewhere() == "in 2 layers; in attn_probs too"


def test_factor_of_one_is_not_given_as_the_reason(path_of: MakePath) -> None:
    """One element is off by twice its bound; all of them are 1 times what is defined, within rounding."""
    path = path_of(arch="bitnet-b1.58")

    def nudge(values: Floats) -> Floats:
        values[3, np.abs(values[3]).argmax()] *= np.float32(1 + 2**-20)
        return values

    trace = record(path, OracleEngine(), chunks="prefill", change=edit(1, "ffn_act", nudge))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.cause is not None
    assert "times what is defined" not in judged.cause.words
    assert "matches no known mistake; 1 of 512 values differ" in judged.cause.words


def test_sentence_gives_the_number_that_makes_guilty(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    judged = judge_engine(
        open_model(path), Evidence(record(path, plant_oracle("scaled weight")), BITNET_CPP), tokens=TOKENS
    )
    assert judged.cause is not None
    assert f"{judged.cause.local.excess:.2g} times what rounding explains" in judged.sentence()


@pytest.mark.parametrize("stage", ["embeddings", "attn_norm", "q_rope", "attn_ctx", "ffn_act", "layer_out"])
def test_one_element_off_by_a_few_roundings_is_guilty(path_of: MakePath, stage: str) -> None:
    """The largest element times 1 + 2^-17: 128 roundings, 8e-6."""

    def nudge(values: Floats) -> Floats:
        flat = values.reshape(len(values), -1)
        flat[0, np.abs(flat[0]).argmax()] *= np.float32(1 + 2**-17)
        return values

    path = path_of(arch="bitnet-b1.58")
    layer = -1 if stage == "embeddings" else 1
    trace = record(path, OracleEngine(), chunks="prefill", change=edit(layer, stage, nudge))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert (layer, stage) in {pair for cause in judged.causes for pair in cause.stages}


def test_integer_off_by_one_is_guilty(path_of: MakePath) -> None:
    """The smallest error that a ternary matmul can make: one code of one activation."""
    path = path_of()
    model = open_model(path)
    definition = Definition.of(model)
    scale = float(definition.weights.matrix(0, "k").scales.flat[0])  # type: ignore[union-attr]
    trace = record(path, OracleEngine(), chunks="prefill")
    absmax = np.abs(trace.value(0, "attn_norm", 3)).max()

    def off_by_one(values: Floats) -> Floats:
        values[3, 7] += scale * absmax / 127
        return values

    trace = record(path, OracleEngine(), chunks="prefill", change=edit(0, "k_proj", off_by_one))
    judged = judge_engine(model, Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.cause is not None
    assert (judged.cause.local.stage, judged.cause.local.position) == ("k_proj", 3)
    assert "only element 7" in judged.cause.words


def test_nan_is_guilty_where_it_appears_and_only_inherited_later(path_of: MakePath) -> None:
    path = path_of()
    report = judge_engine(
        open_model(path),
        Evidence(record(path, plant_oracle("NaN in a norm weight")), BITNET_CPP),
        tokens=TOKENS,
    )
    assert [(s.layer, s.stage) for s in report.guilty_stages()] == [(1, "attn_norm")]
    reasons = {n.reason for n in report.not_judged}
    assert reasons == {"its inputs are not finite, or its output is beyond float32"}


def test_both_engines_can_be_guilty(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    expected = Evidence(record(path, plant_oracle("epsilon"), name="first"), BITNET_CPP)
    actual = Evidence(record(path, plant_oracle("scaled weight"), name="second"), BITNET_CPP)
    sentence = blame(open_model(path), expected, actual, tokens=TOKENS).sentence
    assert "first is wrong: layer 0, attn_norm" in sentence
    assert "second is wrong: layer 1, ffn_up" in sentence


def test_agreement_is_not_correctness(path_of: MakePath) -> None:
    """Two engines with the same mistake agree everywhere; both are named."""
    path = path_of(arch="bitnet-b1.58")
    trace = record(path, plant_oracle("wrong activation"))
    report = blame(open_model(path), Evidence(trace, BITNET_CPP), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert all(d.worst == 0 for d in report.differences)
    assert report.expected.cause is not None
    assert report.actual.cause is not None


def test_rounding_alone_blames_nobody_and_shows_how_it_grew(path_of: MakePath) -> None:
    path = path_of()
    prefill = record(path, OracleEngine(), name="prefill", chunks="prefill")
    decode = record(path, OracleEngine(), name="decode", chunks="decode")
    report = blame(
        open_model(path), Evidence(prefill, BITNET_CPP), Evidence(decode, BITNET_CPP), tokens=TOKENS
    )
    assert report.exit_code == 0
    assert report.sentence.startswith(
        "no stage of prefill or decode is wrong; they differ by rounding, first"
    )
    assert "layer 0 attn_ctx" in report.sentence  # softmax rows are F16 in decode only
    growth = [d.worst for d in report.growth()]
    assert growth[0] == 0 < growth[1] < growth[-1]


def test_stage_without_its_block_input_is_said_to_be_not_judged(path_of: MakePath) -> None:
    path = path_of()
    trace = record(path, OracleEngine(), change=without("layer_out"))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    (first, *_) = [n for n in judged.not_judged if n.stage == "attn_norm"]
    assert first.reason == "needs layer 0 layer_out at position 0, which was not recorded"


def test_wrong_shape_is_guilty(path_of: MakePath) -> None:
    path = path_of()
    cut = edit(1, "ffn_out", lambda values: values[:, :-2])
    judged = judge_engine(
        open_model(path), Evidence(record(path, OracleEngine(), change=cut), BITNET_CPP), tokens=TOKENS
    )
    assert judged.cause is not None
    assert "has shape (254,) where (256,) is defined" in judged.cause.words


def test_nothing_recorded_is_not_compared(path_of: MakePath) -> None:
    empty = Evidence(MemoryTrace("empty"), BITNET_CPP)
    with pytest.raises(NotCompared, match="no stage can be judged: no values were recorded"):
        blame(open_model(path_of()), empty, empty, tokens=TOKENS)


def test_windows_of_layers_give_the_answer_of_a_full_recording(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    model = open_model(path)

    def run(budget: int) -> dict[str, object]:
        expected, actual = (
            engine.open(path, context=len(TOKENS), threads=1)
            for engine in (OracleEngine(), plant_oracle("scaled weight"))
        )
        return blame_sessions(model, expected, actual, TOKENS, Chunking("mixed"), budget=budget).as_dict()

    small = 700_000  # one layer and the logits of 12 positions, not two
    assert len(windows(model.hyper, len(TOKENS), small)) == 2
    assert len(windows(model.hyper, len(TOKENS), 1 << 30)) == 1
    full = run(1 << 30)
    assert full["guilty"]
    assert json.dumps(run(small)) == json.dumps(full)


def test_budget_below_one_layer_is_not_compared(path_of: MakePath) -> None:
    with pytest.raises(NotCompared, match="give fewer positions"):
        windows(open_model(path_of()).hyper, len(TOKENS), 1000)


def test_local_errors_come_in_graph_order(path_of: MakePath) -> None:
    path = path_of()
    judge = Judge(Definition.of(open_model(path)), record(path, OracleEngine()), TOKENS)
    errors = [e for e in judge.judge(StageFilter.parse("0:ffn_*,-1:logits")) if isinstance(e, LocalError)]
    order = [graph_order(e.layer, e.stage) for e in errors]
    assert order == sorted(order)
    assert {e.stage for e in errors} >= {"ffn_norm", "ffn_act", "logits"}
    assert {e.layer for e in errors} == {0, -1}
