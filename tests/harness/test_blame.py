"""Blame: sound engines are never guilty, and whatever is wrong is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.blame.bisect import blame_sessions, windows
from bitparity.blame.bounds import allowed_error
from bitparity.blame.engines import BlameReport, Evidence, blame, judge_engine
from bitparity.blame.judge import Judge, LocalError
from bitparity.cli import main
from bitparity.compare.chunking import Chunking
from bitparity.engine import Floats, StageValue
from bitparity.errors import NotCompared
from bitparity.faults.catalogue import CATALOGUE, Fault
from bitparity.faults.plant import plant
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import BITNET_CPP, LLAMA_CPP, Arithmetic
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.ops import Doubles
from bitparity.runs import file_digest
from bitparity.stages import StageFilter, graph_order
from bitparity.trace import ALL_VALUES, MemoryTrace, TraceWriter, read_trace

TOKENS = [(37 * i + 11) % 320 for i in range(12)]
MakePath = Callable[..., Path]
FAULT = {fault.name: fault for fault in CATALOGUE}


@pytest.fixture(scope="module")
def path_of(tmp_path_factory: pytest.TempPathFactory) -> MakePath:
    folder = tmp_path_factory.mktemp("blame")

    def make(**fields: object) -> Path:
        spec = ModelSpec(n_layer=2, n_ff=512, n_vocab=320, **fields)  # type: ignore[arg-type]
        path = folder / f"{abs(hash(spec))}.gguf"
        if not path.exists():
            make_model(path, spec)
        return path

    return make


def record(
    path: Path,
    engine: OracleEngine,
    *,
    name: str = "oracle",
    chunks: str = "mixed",
    tokens: Sequence[int] = TOKENS,
    change: Callable[[StageValue], StageValue | None] = lambda value: value,
) -> MemoryTrace:
    """Trace a run; `change` alters what is recorded, or leaves it out."""
    trace = MemoryTrace(name)

    def sink(value: StageValue) -> None:
        changed = change(value)
        if changed is not None:
            trace(changed)

    session = engine.open(path, context=len(tokens), threads=1)
    with session.tap(StageFilter.parse(), sink):
        for chunk in Chunking(chunks).chunks(len(tokens)):
            if chunk.decode:
                session.decode(tokens[chunk.first])
            else:
                session.prefill(tokens[chunk.first : chunk.last])
    return trace


def edit(layer: int, stage: str, how: Callable[[Floats], Floats]) -> Callable[[StageValue], StageValue]:
    """Change the recorded values of one stage."""

    def change(value: StageValue) -> StageValue:
        if (value.layer, value.stage) != (layer, stage):
            return value
        return StageValue(layer, stage, value.position, value.seq, how(value.values.copy()))

    return change


def without(*names: str) -> Callable[[StageValue], StageValue | None]:
    return lambda value: None if value.stage in names else value


@pytest.mark.parametrize("arithmetic", [BITNET_CPP, LLAMA_CPP], ids=lambda n: n.name)
@pytest.mark.parametrize(
    ("arch", "weight_format"),
    [
        ("bitnet", "I2_S"),
        ("bitnet-b1.58", "TQ1_0"),
        ("bitnet-25", "F16"),
        ("llama", "TQ2_0"),
        ("llama", "F32"),
    ],
)
def test_sound_engine_is_judged_everywhere_and_guilty_nowhere(
    path_of: MakePath, arch: str, weight_format: str, arithmetic: object
) -> None:
    path = path_of(arch=arch, weight_format=weight_format)
    engine = OracleEngine(arithmetic)  # type: ignore[arg-type]
    trace = record(path, engine)
    model = open_model(path)
    judged = judge_engine(model, Evidence(trace, arithmetic), tokens=TOKENS)  # type: ignore[arg-type]
    assert judged.first is None, judged.sentence()
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


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda f: f.name)
def test_planted_fault_is_found_where_it_was_planted(path_of: MakePath, fault: Fault) -> None:
    path = path_of(arch="bitnet-b1.58")
    model = open_model(path)
    engine = plant(fault, OracleEngine())
    assert isinstance(engine, OracleEngine)
    expected = Evidence(record(path, OracleEngine(), name="sound"), BITNET_CPP)
    actual = Evidence(record(path, engine, name="faulty"), BITNET_CPP)
    report = blame(model, expected, actual, tokens=TOKENS)
    assert report.exit_code == 1
    assert report.expected.first is None
    assert report.actual.first is not None
    local = report.actual.first.local
    assert (local.layer, local.stage) == (fault.layer, fault.stage)
    assert fault.position is None or local.position == fault.position
    assert fault.says in report.sentence
    assert report.sentence.startswith("faulty is wrong: ")


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
    assert judged.first is not None
    assert (judged.first.local.layer, judged.first.local.stage) == (layer, stage)


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
    assert judged.first is not None
    assert (judged.first.local.stage, judged.first.local.position) == ("k_proj", 3)
    assert "only element 7" in judged.first.words


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


def plant_oracle(name: str) -> OracleEngine:
    engine = plant(FAULT[name], OracleEngine())
    assert isinstance(engine, OracleEngine)
    return engine


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
    assert report.expected.first is not None
    assert report.actual.first is not None


@pytest.fixture(scope="module")
def twins(path_of: MakePath, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same weights in two formats that round activations differently."""
    meant = path_of(arch="bitnet-b1.58", weight_format="TQ1_0")
    twin = tmp_path_factory.mktemp("twin") / "i2_s.gguf"
    convert(meant, twin, "I2_S")
    return meant, twin


def blame_twins(meant: Path, file: Path) -> BlameReport:
    """Judge an engine that ran another file beside one that ran the file that was meant."""
    model, other = open_model(meant), open_model(file)
    sessions = [OracleEngine().open(path, context=len(TOKENS), threads=1) for path in (file, meant)]
    return blame_sessions(model, *sessions, TOKENS, Chunking("mixed"), files=(other, model))


def test_engine_that_ran_a_twin_is_judged_by_the_format_of_that(twins: tuple[Path, Path]) -> None:
    for meant, file in (twins, twins[::-1]):
        report = blame_twins(meant, file)
        assert not report.is_guilty, report.sentence
        assert not report.expected.not_judged
        assert len(report.expected.stages) == len(report.actual.stages) == 3 + 2 * 18


def test_weight_that_a_twin_does_not_share_is_found_in_its_format(
    twins: tuple[Path, Path], tmp_path: Path
) -> None:
    meant, twin = twins
    changed = tmp_path / "changed.gguf"
    content = bytearray(twin.read_bytes())
    up, norm = open_model(twin).weights.layers[1]["up"], open_model(twin).weights.layers[1]["ffn_norm"]
    scale = up.data[-32:].view("<f4")[:1] * np.float32(1.25)
    content[up.offset + up.data.size - 32 : up.offset + up.data.size - 28] = scale.tobytes()
    changed.write_bytes(bytes(content))
    report = blame_twins(meant, changed)
    assert [(s.layer, s.stage) for s in report.expected.guilty_stages()] == [(1, "ffn_up")]
    assert "it gives 1.25 times what is defined" in report.sentence
    assert report.actual.first is None
    content = bytearray(twin.read_bytes())
    content[norm.offset : norm.offset + 4] = (norm.values()[:1] * 2).tobytes()
    changed.write_bytes(bytes(content))
    assert [(s.layer, s.stage) for s in blame_twins(meant, changed).expected.guilty_stages()] == [
        (1, "ffn_norm")
    ]


def test_stored_traces_of_twins_are_judged_each_by_its_file(twins: tuple[Path, Path], tmp_path: Path) -> None:
    traces = [write_trace(tmp_path, path, OracleEngine(), path.stem) for path in twins]
    done = blame_command(*traces)
    assert done.returncode == 0, done.stdout
    assert "no stage of oracle or oracle is wrong" in done.stdout
    assert blame_command(*traces, "--model", twins[1]).returncode == 0


def test_model_of_stored_traces_may_be_a_bundled_one_by_name(tmp_path: Path) -> None:
    trace = write_trace(tmp_path, bundled_model(), OracleEngine(), "sound")
    assert blame_command(trace, trace, "--model", "bitnet", "--stages", "0:ffn_act").returncode == 0


def test_compare_with_a_twin_blames_nobody(twins: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--reference", "oracle", "--candidate", "oracle", "--tokens", "5,6,7", "--limit", "1", "--blame"]
    meant, twin = map(str, twins)
    monkeypatch.setattr(sys, "argv", ["bitparity", "compare", meant, "--reference-model", twin, *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


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


@pytest.mark.parametrize("left_out", ["attn_sub_norm", "q_rope", "attn_probs", "ffn_act", "k_rope", "v_proj"])
def test_stage_that_is_not_recorded_is_derived(path_of: MakePath, left_out: str) -> None:
    path = path_of(arch="bitnet-b1.58")
    trace = record(path, OracleEngine(), change=without(left_out))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.first is None, judged.sentence()
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
    assert judged.first is None, judged.sentence()
    assert set(judged.absent) == set(left_out)


def test_derived_stage_of_a_last_row_alone_is_rounded_by_the_batch_it_was_in(path_of: MakePath) -> None:
    """When no other logits are asked for, only the last row goes beyond the last layer's attention."""
    path = path_of(arch="bitnet", weight_format="F16")
    trace = MemoryTrace("oracle")
    session = OracleEngine().open(path, context=len(TOKENS), threads=1)
    keep = without("attn_out", "ffn_gate", "ffn_up", "v_proj")
    with session.tap(StageFilter.parse(), lambda value: keep(value) and trace(value)):
        session.prefill(TOKENS[:4], logits="last")
        session.decode(TOKENS[4])
        session.prefill(TOKENS[5:], logits="last")
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.first is None, judged.sentence()
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
    path_of: MakePath, reading: dict[str, bool], left_out: tuple[str, ...]
) -> None:
    """Long enough for angles to differ, and for an activation next to a tie of the int8 rounding."""
    path = path_of(arch="bitnet-b1.58")
    tokens = [int(t) for t in np.random.default_rng(0).integers(0, 320, 110)]
    engine = OracleEngine(replace(BITNET_CPP, **reading))
    trace = record(path, engine, chunks="prefill", tokens=tokens, change=without(*left_out))
    judged = judge_engine(
        open_model(path), Evidence(trace, BITNET_CPP), tokens=tokens, stages=StageFilter.parse("0-1:*")
    )
    assert judged.first is None, judged.sentence()
    assert set(judged.absent) == set(left_out)


class Imprecise(Definition):
    """A sound engine whose errors are up to 0.4 of what is allowed; sums of two are exact in any engine."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._rng = np.random.default_rng(0)

    def compute(self, stage: str, place: Place, inputs: dict[str, Any]) -> Doubles:
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
    assert judged.first is None, judged.sentence()
    assert not judged.not_judged


def test_fault_in_a_stage_that_is_not_recorded_is_found_at_the_next(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    trace = record(path, plant_oracle("wrong activation"), change=without("ffn_act"))
    judged = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert judged.first is not None
    assert judged.first.local.stage == "ffn_sub_norm"
    assert "or in ffn_act, which is not recorded" in judged.first.words


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
    assert judged.first is not None
    assert "has shape (254,) where (256,) is defined" in judged.first.words


def test_nothing_recorded_is_not_compared(path_of: MakePath) -> None:
    empty = Evidence(MemoryTrace("empty"), BITNET_CPP)
    with pytest.raises(NotCompared, match="no stage can be judged: no values were recorded"):
        blame(open_model(path_of()), empty, empty, tokens=TOKENS)


def test_windows_of_layers_give_the_answer_of_a_full_recording(path_of: MakePath) -> None:
    path = path_of(arch="bitnet-b1.58")
    model = open_model(path)

    def run(budget: int) -> dict[str, object]:
        sessions = [
            engine.open(path, context=len(TOKENS), threads=1)
            for engine in (OracleEngine(), plant_oracle("scaled weight"))
        ]
        return blame_sessions(model, *sessions, TOKENS, Chunking("mixed"), budget=budget).as_dict()

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


def write_trace(folder: Path, path: Path, engine: OracleEngine, run: str) -> Path:
    session = engine.open(path, context=len(TOKENS), threads=1)
    meta = {
        "tokens": TOKENS,
        "fingerprint": session.info.fingerprint.as_dict(),
        "model": {"path": str(path), "blake3": file_digest(path)},
    }
    with (
        TraceWriter(folder, "oracle", run, ALL_VALUES, meta) as sink,
        session.tap(StageFilter.parse(), sink),
    ):
        session.prefill(TOKENS[:9])
        for token in TOKENS[9:]:
            session.decode(token)
    return sink.path


def blame_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from bitparity.cli import main; main()", "blame", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_stored_traces_are_blamed_without_an_engine(path_of: MakePath, tmp_path: Path) -> None:
    path = path_of(arch="bitnet-b1.58")
    sound = write_trace(tmp_path, path, OracleEngine(), "sound")
    faulty = write_trace(tmp_path, path, plant_oracle("RoPE pairing"), "faulty")
    done = blame_command(sound, faulty, "--json", tmp_path / "blame.json")
    assert done.returncode == 1, done.stderr
    assert "oracle is wrong: layer 0, q_rope, from position 1: it rotates pairs" in done.stdout
    written = json.loads((tmp_path / "blame.json").read_text())
    assert written["guilty"]
    assert written["actual"]["first"]["local"]["stage"] == "q_rope"
    assert blame_command(sound, sound, "--model", path).returncode == 0


@pytest.mark.parametrize("stages", ["5-2:*", "2:*"])
def test_stages_that_the_model_does_not_have_are_refused(
    path_of: MakePath, tmp_path: Path, stages: str
) -> None:
    trace = write_trace(tmp_path, path_of(), OracleEngine(), "sound")
    done = blame_command(trace, trace, "--stages", stages)
    assert done.returncode == 2
    assert f"trace filter {stages!r}: " in done.stderr


def test_traces_of_different_tokens_are_refused(path_of: MakePath, tmp_path: Path) -> None:
    path = path_of()
    traces = [write_trace(tmp_path, path, OracleEngine(), run) for run in ("one", "two")]
    meta = traces[1] / "meta.json"
    meta.write_text(meta.read_text().replace(str(TOKENS[0]), "1", 1))
    assert read_trace(traces[1]).tokens != TOKENS
    done = blame_command(*traces)
    assert done.returncode == 2
    assert "traces of different tokens" in done.stderr
