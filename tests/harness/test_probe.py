"""Engines read from outside: their arithmetic and their mistakes, from logits on models written for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.architectures.graph import GraphStage
from bitparity.cli.probe import command
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.errors import EngineFailed, NotCompared
from bitparity.fit.observed import observe_sequence
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.noise.verdict import Verdict
from bitparity.oracle.arithmetic import PLAIN, arithmetic_named
from bitparity.oracle.composed import Composed
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.ops import Doubles, round_to
from bitparity.probe.chart import CHARTS, SEQUENCES, make_chart
from bitparity.probe.chart_values import EPSILON
from bitparity.probe.parts import FEED_FORWARD, branch_part, ends_part, left_of, whole_part, write_part
from bitparity.probe.reader import Reader
from bitparity.probe.run import probe
from bitparity.probe.sheet import Findings, Sheet
from bitparity.probe.surgery import operate
from bitparity.report.words import headline
from bitparity.settings import read_settings
from bitparity_native.engine import NativeEngine
from harness.float32_engine import Float32Engine, Untapped, with_mistake

PLANTED = [
    "plain, kv bf16, q bf16 in one row, rounding zero",
    "plain, q f16, probs f16 in one row, activations block 64, largest 128, rounding away, head int8 away",
    "plain, kv q8_0, f16_inputs bf16 in one row, activations none, embeddings int8",
    "plain, kv bf16, probs f16 in one row, activations block 32, rounding down, embeddings int8",
    "plain, stages f16, activations block 128, largest 128, rounding zero, embeddings q8_0",
    "plain, stages bf16, kv q8_0, head int8 away",
]


TOKENS = (34, 44, 106, 67, 315, 90, 12, 77, 5, 18)


class Stating(Definition):
    """Computes K and V in float32, whatever it states."""

    def cached(self, kv: Doubles) -> Doubles:
        return self.split_heads(kv)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_chart(tmp_path_factory.mktemp("probe") / "chart.gguf", CHARTS[0])


def sheet_of(engine: OracleEngine, like: Model | None = None) -> Sheet:
    return probe(engine, read_settings({}), like=like)


def test_codes_of_chosen_tokens_are_exact_ties_in_any_order_of_sums(chart: Model) -> None:
    rows, weight = chart.weights.token_embd.values(), chart.weights.layers[1]["ffn_norm"].values()
    assert chart.hyper.norm_eps == EPSILON
    for token, largest in ((0, 127), (4, 127), (1, 128), (5, 128)):
        squares = rows[token] * rows[token]
        for order in (squares, squares[::-1], squares.reshape(-1, 16).T.reshape(-1)):
            mean = np.add.accumulate(order, dtype=np.float32)[-1] / np.float32(len(order))
            assert mean + np.float32(EPSILON) == 1
        normed = (rows[token] * weight).astype(np.float64)
        assert np.mean(normed / np.abs(normed).max() * largest % 1 == 0.5) > 0.5


@pytest.mark.parametrize("kept_as", ["bf16", "int8", "q8_0"])
def test_tokens_of_ties_are_the_same_in_every_type_of_embeddings(chart: Model, kept_as: str) -> None:
    rows = chart.weights.token_embd.values().astype(np.float64)
    is_same = (round_to(rows, kept_as) == rows).all(axis=1)
    assert is_same[0::4].all()
    assert is_same[1::4].all()
    assert not is_same[2::4].any()


def test_silenced_branches_leave_the_residual_stream_as_it_was(chart: Model, tmp_path: Path) -> None:
    write_part(chart, tmp_path / "ends.gguf", ends_part(chart.hyper.architecture), chart.hyper.n_layer)
    definition = Definition.of(open_model(tmp_path / "ends.gguf"))
    recorded = {}
    Decoder(definition).forward(
        [2, 0, 7], record=lambda name, place, out: recorded.update({(place.layer, name): out})
    )
    np.testing.assert_array_equal(recorded[1, "layer_out"], recorded[-1, "embeddings"])


def test_part_with_one_branch_gives_what_its_few_stages_give(chart: Model, tmp_path: Path) -> None:
    part = branch_part(chart.hyper.architecture, 1, FEED_FORWARD)
    write_part(chart, tmp_path / "part.gguf", part, chart.hyper.n_layer)
    whole, tokens = open_model(tmp_path / "part.gguf"), [2, 0, 7]

    few = Decoder(Definition.of(left_of(whole, part)), part.layers).forward(tokens)
    np.testing.assert_array_equal(few, Decoder(Definition.of(whole)).forward(tokens))
    write_part(chart, tmp_path / "all.gguf", whole_part(chart.hyper.architecture, 2), 2)
    assert np.abs(few - Decoder(Definition.of(open_model(tmp_path / "all.gguf"))).forward(tokens)).max() > 0.1


@pytest.mark.parametrize("name", PLANTED)
def test_planted_arithmetic_is_found_with_every_axis_decided(name: str) -> None:
    sheet = sheet_of(Float32Engine(arithmetic_named(name)))
    assert sheet.arithmetic == arithmetic_named(name)
    assert sheet.wrong == []
    assert sheet.exit_code == 0
    assert [line.axis for line in sheet.lines if not line.is_decided] == []
    assert all(line.nearest is None or line.nearest[1] > 1e-4 for line in sheet.lines)


def test_epsilon_that_gives_a_flip_is_no_mistake(tmp_path: Path) -> None:
    """Nearly the definition, it moves a value at a tie as rounding does."""
    like = make_chart(tmp_path / "chart.gguf", CHARTS[7])
    planted = arithmetic_named("plain, q f16, probs f16 in one row, f16_inputs bf16, embeddings int8")
    sheet = sheet_of(Float32Engine(planted), like)
    assert (sheet.wrong, sheet.exit_code, sheet.arithmetic) == ([], 0, planted)


def test_nan_of_batches_is_not_left_by_rounding(tmp_path: Path) -> None:
    chart, path = make_chart(tmp_path / "chart.gguf", CHARTS[0]), tmp_path / "whole.gguf"
    whole = whole_part(chart.hyper.architecture, chart.hyper.n_layer)
    write_part(chart, path, whole, chart.hyper.n_layer)
    session = Float32Engine().open(path, context=64, threads=1)
    observed = [o for ids in SEQUENCES["whole"] for o in observe_sequence(session, ids)]
    broken = [replace(o, logits=o.logits * np.nan) if o.rows > 1 else o for o in observed]
    sound, unsound = (Reader(whole, open_model(path), o) for o in (observed, broken))
    known = Findings(sound.options).known
    reading = sound.read(known)
    assert sound.leaves_rounding(reading, known)
    assert not unsound.leaves_rounding(reading, known)


def test_f16_after_bf16_is_said_to_be_the_same() -> None:
    sheet = sheet_of(Float32Engine(arithmetic_named("plain, stages bf16, kv f16, q q8_0")))
    lines = {line.axis: line for line in sheet.lines}
    assert all(line.is_decided for line in lines.values())
    assert (lines["kv"].option, lines["kv"].alike) == ("f32", ("f16", "bf16"))
    assert (lines["q"].option, lines["q"].alike) == ("q8_0", ())


def test_statement_that_does_not_hold_is_told() -> None:
    stated = arithmetic_named("plain, kv f16")
    boasting = OracleEngine(stated, lambda model, _: Stating.of(model, stated))
    sheet = sheet_of(boasting)
    assert (sheet.stated, sheet.arithmetic) == (stated, PLAIN)
    assert not sheet.statement_holds


def test_wrong_activation_under_two_foreign_axes_is_named() -> None:
    planted = arithmetic_named("plain, activations token, rounding away")
    tq2_0 = open_model(bundled_model("bitnet", "TQ2_0"))
    engine = Float32Engine(planted, with_mistake("computes ReLU² where SiLU is defined"))
    sheet = sheet_of(engine, tq2_0)
    assert sheet.arithmetic == planted
    assert sheet.sentence == (
        "my-engine is wrong: every layer, feed-forward, ffn_act: it computes ReLU² where SiLU is defined"
    )
    assert sheet.exit_code == 1


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("lets positions see later ones", (0, "attn_probs")),
        ("takes the norm's weight of the layer before", (1, "ffn_norm")),
        ("takes the activation scale of the first row for all rows", (1, "q_proj")),
        ("caps logits at 30 by tanh", (-1, "logits")),
    ],
)
def test_mistake_at_one_stage_of_one_layer_is_named_with_its_place(
    words: str, place: tuple[int, str]
) -> None:
    sheet = sheet_of(Float32Engine(arithmetic_named("plain, kv f16"), with_mistake(words, place)))
    (wrong,) = sheet.wrong
    assert (wrong.mistake, wrong.at) == (words, (place,))
    assert sheet.arithmetic == arithmetic_named("plain, kv f16")


def test_what_no_known_mistake_gives_is_told_by_its_part_and_position() -> None:
    class Odd(Definition):
        """Later positions attend with a query that is 1 % too long."""

        def scores(self, place, q, keys):  # type: ignore[no-untyped-def]
            return super().scores(place, q * (1 + 0.01 * (place.positions[:, None] > 1)), keys)

    odd = lambda d: Composed.make(d, {(1, "attn_probs"): Odd(d.hyper, d.weights, d.arithmetic)})  # noqa: E731
    sheet = sheet_of(Float32Engine(PLAIN, odd))
    assert sheet.sentence.startswith(
        "my-engine may be wrong, or compute in an arithmetic that is not known: "
    )
    assert (
        "layer 1, attention (q_proj, k_proj, q_rope, k_rope, attn_probs or attn_ctx): nothing known"
        in sheet.sentence
    )
    assert sheet.exit_code == 1
    *parts, whole = sheet.readings
    far = replace(sheet, readings=(*parts, replace(whole, fits=False, residual=0.2)))
    assert far.sentence.startswith("my-engine is wrong: layer 1, attention (q_proj")
    assert "blocks" not in far.sentence


def test_sums_in_f16_that_are_stated_are_not_called_a_mistake() -> None:
    sheet = probe(NativeEngine(arithmetic="llama.cpp/neon_fp16/gcc"), read_settings({}))
    assert sheet.sentence.startswith(
        "native may compute as it states: llama.cpp/neon_fp16/gcc adds products of F16 numbers in F16, which "
        "the oracle does not follow: ends ("
    )
    assert (sheet.wrong, sheet.exit_code) == ([], 1)


def test_a_statement_holds_only_where_something_shows_it() -> None:
    sheet = replace(sheet_of(OracleEngine(PLAIN)), stated=PLAIN)
    assert sheet.statement_holds
    nothing = replace(sheet, lines=tuple(replace(line, said="") for line in sheet.lines))
    assert not nothing.statement_holds


def test_values_that_are_rotated_leave_the_sum_over_them_under_suspicion() -> None:
    class Odd(Definition):
        """Rotates V as it rotates K."""

        def context(self, stage: GraphStage, place: Place, probs: Doubles, values: Doubles) -> Doubles:
            every = Place(place.layer, np.arange(len(values)), len(values))
            return super().context(stage, place, probs, self.rotate(self.stages["k_rope"], every, values))

    def change(sound: Definition) -> Definition:
        return Composed.make(sound, {(0, "attn_ctx"): Odd(sound.hyper, sound.weights, sound.arithmetic)})

    (wrong,) = (w for w in sheet_of(Float32Engine(PLAIN, change)).wrong if w.part.kind == "attention")
    assert "attn_ctx" in wrong.suspects


def test_wrong_stream_is_suspected_where_all_branches_are_silent() -> None:
    class Odd(Definition):
        """Adds to a stream whose channels it scales."""

        def add(self, stage: GraphStage, place: Place, branch: Doubles, stream: Doubles) -> Doubles:
            return super().add(stage, place, branch, stream * np.arange(1, stream.shape[1] + 1))

    def change(sound: Definition) -> Definition:
        return Composed.make(sound, {(0, "layer_out"): Odd(sound.hyper, sound.weights, sound.arithmetic)})

    ends = sheet_of(Float32Engine(PLAIN, change)).wrong[0]
    assert {"attn_residual", "layer_out"} <= set(ends.suspects)


def test_engine_that_runs_no_probe_model_is_not_compared() -> None:
    class Picky(OracleEngine):
        def open(self, *arguments, **options):  # type: ignore[no-untyped-def]
            raise EngineFailed("picky", "takes no model of width 256")

    with pytest.raises(NotCompared, match=r"ran none of 8 probe models .*width 256"):
        sheet_of(Picky())


def test_command_prints_a_sheet_and_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "sheet.json"
    done = CliRunner().invoke(command, ["native", "bitnet", "--arithmetic", "llama.cpp", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "stated     llama.cpp/avx2/gcc, which holds" in done.output
    assert "keeps K and V in F16 (layer 0, attention: residual" in done.output
    written = json.loads(file.read_text())
    assert written["arithmetic"] == "plain, kv f16, q f16, probs f16, f16_inputs f16"
    assert [part["mistake"] for part in written["parts"]] == [""] * 6


@pytest.fixture(scope="module")
def at_hand(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("surgery") / "model.gguf"
    make_model(path, ModelSpec(n_layer=3, n_ff=512, n_vocab=320, seed=5))
    return open_model(path)


def test_fault_in_one_layer_of_a_model_at_hand_is_found_there(at_hand: Model) -> None:
    words, place = "leaves out the norm's weight", (1, "attn_sub_norm")
    engine = Float32Engine(arithmetic_named("plain, kv f16"), with_mistake(words, place))
    sheet = operate(engine, read_settings({}), at_hand, TOKENS)
    assert [(reading.mistake, reading.at) for reading in sheet.wrong] == [(words, (place,))]


def test_unknown_fault_leaves_the_stages_of_its_position_under_suspicion(at_hand: Model) -> None:
    class Odd(Definition):
        """Keys are 3 % too long, which position 0 does not show."""

        def rotate(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
            return super().rotate(stage, place, x) * 1.03

    def change(sound: Definition) -> Definition:
        return Composed.make(sound, {(2, "k_rope"): Odd(sound.hyper, sound.weights, sound.arithmetic)})

    sheet = operate(Float32Engine(PLAIN, change), read_settings({}), at_hand, TOKENS)
    (unknown,) = sheet.unknown
    assert unknown.part.name == "layer 2, attention"
    assert unknown.suspects == ("q_proj", "k_proj", "q_rope", "k_rope", "attn_probs", "attn_ctx")
    assert sheet.wrong == []


def test_sums_that_are_rounded_to_f16_are_no_mistake_of_an_engine(at_hand: Model) -> None:
    class Rough(Definition):
        """Keeps what projections give in F16, which no axis of arithmetic is for."""

        def project(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
            return round_to(super().project(stage, place, x), "f16")

    rough = lambda d: Rough(d.hyper, d.weights, d.arithmetic)  # noqa: E731
    sheet = operate(Float32Engine(PLAIN, rough), read_settings({}), at_hand, TOKENS)
    assert sheet.wrong == []
    assert sheet.unknown != []


def test_blame_reads_an_engine_without_a_tap_from_outside(at_hand: Model) -> None:
    engine = Untapped(Float32Engine(PLAIN, with_mistake("applies no activation", (2, "ffn_act"))))
    comparison = Comparison(
        Side(OracleEngine(PLAIN), at_hand),
        Side(engine, at_hand),
        prompts=[Prompt(tokens=TOKENS)],
        settings=read_settings({}),
        chunking=Chunking.parse("prefill"),
    )
    result = compare_engines(comparison, limit=1e-4, blame=True)
    assert result.exit_code == 1
    said = (
        "my-engine is wrong: layer 2, feed-forward, ffn_act: it applies no activation; it records no stages"
    )
    assert result.blame is not None
    assert str(result.blame["sentence"]).startswith(said)


def test_engines_are_probed_where_a_model_is_too_large_for_the_oracle(
    at_hand: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitparity.fit.explanation.LARGEST", 0)
    comparison = Comparison(
        Side(OracleEngine(arithmetic_named("plain, kv f16, q f16")), at_hand),
        Side(Float32Engine(arithmetic_named("plain, kv bf16")), at_hand),
        prompts=[Prompt(tokens=TOKENS)],
        settings=read_settings({}),
        chunking=Chunking.parse("prefill"),
    )
    result = compare_engines(comparison)
    assert result.explanation is not None
    assert result.explanation["differ"] == ["keeps K and V in BF16", "does not round Q"]
    assert result.explanation["sampled"] == 0
    said = str(result.explanation["sentence"])
    assert said.startswith("on small models like this one my-engine gives what is defined: it keeps K")
    assert said.endswith("is too large for the oracle")
    assert result.verdict is Verdict.NOISE
    assert headline(result).endswith(" noise), which is explained on small models only")
