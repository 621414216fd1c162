"""The arithmetic of an engine found from its logits, and what a comparison makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.architectures.graph import GraphStage
from bitparity.cli.compare import command
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.result import ComparisonResult, read_result
from bitparity.compare.run import compare_engines
from bitparity.engine import Engine
from bitparity.fit.found import Fit, fit
from bitparity.fit.lockstep import of_arithmetics, residuals
from bitparity.fit.mistakes import find_mistake
from bitparity.fit.observed import Observed, observe
from bitparity.fit.options import Options
from bitparity.fit.words import clauses
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.noise.verdict import Verdict
from bitparity.oracle.arithmetic import BITNET_CPP, LLAMA_CPP, PLAIN, Arithmetic, arithmetic_named
from bitparity.oracle.composed import Composed
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.mistakes import MISTAKES
from bitparity.oracle.ops import Doubles
from bitparity.settings import read_settings
from harness.float32_engine import Float32Engine, with_mistake

TOKENS = (34, 44, 106, 67, 315, 90, 12, 77)
PLANTED = [
    "plain",
    "bitnet.cpp",
    "llama.cpp",
    "plain, kv f16",
    "plain, kv bf16, q bf16 in one row, rounding zero",
    "plain, kv f16, probs f16, activations none, head q8_0",
    "plain, q bf16, f16_inputs f16 in one row, activations block 64, largest 128",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("fit") / "small.gguf"
    make_model(path, ModelSpec(n_layer=1, n_ff=512, n_vocab=320))
    return open_model(path)


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """F16 weights, whose activations stay floats: a search over few arithmetics."""
    path = tmp_path_factory.mktemp("fit") / "floats.gguf"
    make_model(path, ModelSpec(n_layer=1, n_ff=512, n_vocab=320, weight_format="F16"))
    return open_model(path)


def fitted(model: Model, engine: Engine, stated: Arithmetic | None = None) -> Fit:
    session = engine.open(model.path, context=16, threads=1)
    return fit(engine.name, model, observe(session, TOKENS), stated)


def same(model: Model, arithmetic: Arithmetic) -> Arithmetic:
    """By its shortest name in this model."""
    return Options(model, Definition.of(model)).canonical(arithmetic)


@pytest.mark.parametrize("name", PLANTED)
def test_planted_arithmetic_is_found_and_none_but_ties_is_left_open(model: Model, name: str) -> None:
    planted = arithmetic_named(name)
    found = fitted(model, OracleEngine(planted))
    assert found.fits
    assert found.residual < 1e-6
    away = found.arithmetic.having(rounding="even" if found.arithmetic.rounding == "away" else "away")
    assert same(model, planted) == found.arithmetic or same(model, planted) in found.undecided
    assert set(found.undecided) <= {away}
    assert found.next_best is not None
    assert found.next_best[1] > 1e-5


@pytest.mark.parametrize("name", ["plain", "llama.cpp", "plain, kv bf16"])
def test_float32_engine_of_another_order_of_sums_is_found_too(model: Model, name: str) -> None:
    planted = arithmetic_named(name)
    found = fitted(model, Float32Engine(planted))
    assert found.fits
    assert same(model, planted) in (found.arithmetic, *found.undecided)


def test_arithmetic_that_is_stated_and_holds_is_taken(model: Model) -> None:
    found = fitted(model, OracleEngine(LLAMA_CPP), stated=LLAMA_CPP)
    assert found.is_stated
    assert found.arithmetic == LLAMA_CPP
    assert found.sentence().startswith(
        "oracle computes in the arithmetic that it states, llama.cpp/avx2/gcc ("
    )


def test_arithmetic_that_is_stated_and_does_not_hold_is_found(model: Model) -> None:
    found = fitted(model, OracleEngine(PLAIN), stated=LLAMA_CPP)
    assert not found.is_stated
    assert found.fits
    assert found.arithmetic == PLAIN


def test_what_gives_batches_alone_does_not_fit(model: Model) -> None:
    planted = arithmetic_named("plain, f16_inputs f16 in one row, activations none")
    found = fitted(model, OracleEngine(planted), stated=planted.having(f16_inputs="f32"))
    assert not found.is_stated
    assert found.fits
    assert found.arithmetic == same(model, planted)


def mistake(model: Model, words: str) -> Callable[[Definition], Definition]:
    """The mistake of these words, made wherever it can be made."""
    definition = Definition.of(model)
    stages = definition.stages.values()
    (make,) = {
        row.make
        for row in MISTAKES
        for s in stages
        if s.kind == row.kind and row.clause(definition, s) == words
    }
    return make


class OddGate(Definition):
    """What nobody would write."""

    def gate(self, stage: GraphStage, place: Place, gate: Doubles, up: Doubles) -> Doubles:
        return super().gate(stage, place, gate, 1.1 * up + 0.1)


@pytest.mark.parametrize("acts_at_once", [False, True])
def test_no_mistake_is_named_for_a_function_that_none_gives(float_model: Model, acts_at_once: bool) -> None:
    engine = OracleEngine(PLAIN, lambda m, a: OddGate.of(m, a))
    observed = observe(engine.open(float_model.path, context=16, threads=1), TOKENS)
    assert find_mistake(float_model, [PLAIN], observed, acts_at_once=acts_at_once) is None


@pytest.mark.parametrize(
    ("words", "arithmetic"),
    [
        ("computes ReLU² where SiLU is defined", PLAIN),
        ("leaves out RoPE", PLAIN),
        ("does not divide the scores by sqrt(head_dim)", PLAIN.having(kv="f16", q="f16")),
    ],
)
def test_mistake_is_named_from_logits_whatever_the_arithmetic(
    float_model: Model, words: str, arithmetic: Arithmetic
) -> None:
    planted = mistake(float_model, words)
    found = fitted(float_model, OracleEngine(arithmetic, lambda m, a: planted(Definition.of(m, a))))
    assert found.mistake == words
    assert found.residual < 1e-6
    assert found.as_defined > 1e-3
    assert found.sentence().startswith(f"oracle is wrong, its logits fit: it {words} (residual ")


def test_lockstep_gives_what_the_decoder_gives(model: Model) -> None:
    arithmetics = [
        PLAIN,
        BITNET_CPP,
        PLAIN.having(kv="q8_0", activations="block 32"),
        PLAIN.having(head="int8"),
    ]
    definition = Definition.of(model)
    ways = of_arithmetics(definition, arithmetics)
    for index, arithmetic in enumerate(arithmetics):
        decoder = Decoder(Definition(model.hyper, definition.weights, arithmetic))
        logits = np.concatenate([decoder.forward([token]) for token in TOKENS[:4]])
        left = residuals(ways, Observed(TOKENS[:4], 1, logits[:, _columns(model)]))
        assert (left[index] < 1e-6).all()
        assert (np.delete(left, index, axis=0) > 1e-6).any(axis=1).all()


def test_clauses_say_what_differs() -> None:
    assert clauses(PLAIN, LLAMA_CPP) == [
        "keeps K and V in float32",
        "computes GELU in float32",
        "rounds nothing to F16 or BF16",
    ]
    assert clauses(PLAIN.having(q="f16 in one row"), PLAIN) == ["rounds Q to F16 in batches of one row"]
    assert clauses(PLAIN, PLAIN) == []


def _columns(model: Model) -> Sequence[int]:
    from bitparity.compare.sample import sample_columns

    return [int(column) for column in sample_columns(model.hyper.n_vocab)]


def compared(
    candidate: Engine,
    model: Model,
    reference: Arithmetic = BITNET_CPP,
    tokens: tuple[int, ...] = TOKENS,
    **options: object,
) -> ComparisonResult:
    """Against the oracle, in bitnet.cpp's arithmetic unless another is named."""
    comparison = Comparison(
        reference=Side(OracleEngine(reference), model),
        candidate=Side(candidate, model),
        prompts=[Prompt(None, tokens)],
        settings=read_settings(),
        **options,  # type: ignore[arg-type]
    )
    return compare_engines(comparison)


def test_comparison_explains_an_engine_of_another_arithmetic(model: Model, tmp_path: Path) -> None:
    result = compared(Float32Engine(), model)
    assert (result.verdict, result.exit_code) == (Verdict.EXPLAINED, 0)
    assert result.noise_floor is None
    assert result.explanation is not None
    said = str(result.explanation["sentence"])
    assert said.startswith("my-engine is right: it keeps K and V in float32 and rounds nothing to F16 (")
    assert "oracle's own arithmetic leaves" in said
    result.save(tmp_path / "result.json")
    assert read_result(tmp_path / "result.json") == result


def test_flip_that_the_first_perturbed_run_does_not_show_is_explained_by_another(tmp_path: Path) -> None:
    path = tmp_path / "flip.gguf"
    make_model(path, ModelSpec(n_layer=2, n_ff=512, n_vocab=320, weight_format="I2_S", seed=39))
    tokens = (65, 188, 173, 104, 214, 287)  # the last one has an activation at a tie
    engine = Float32Engine(arithmetic_named("plain, kv bf16, stages bf16"))
    result = compared(engine, open_model(path), tokens=tokens, chunking=Chunking("decode"))
    assert result.explanation is not None
    assert (result.explanation["exact"], result.explanation["flipped"]) == (5, 1)
    assert result.verdict is Verdict.EXPLAINED


def asking_the_opposite_at_the_end(definition: Definition) -> Definition:
    """Wrong from position 11 on, which no short sequence reaches."""

    class Odd(Definition):
        def scores(self, place: Place, q: Doubles, keys: Doubles) -> Doubles:
            return super().scores(place, np.where(place.positions[:, None] > 10, -q, q), keys)

    odd = Odd(definition.hyper, definition.weights, definition.arithmetic)
    return Composed.make(
        definition, {(layer, "attn_probs"): odd for layer in range(definition.hyper.n_layer)}
    )


@pytest.mark.parametrize(("change", "flipped"), [(None, 1), (asking_the_opposite_at_the_end, 0)])
def test_flip_at_a_stage_that_is_rounded_is_explained_where_norms_show_none(
    tmp_path: Path, change: Callable[[Definition], Definition] | None, flipped: int
) -> None:
    path = tmp_path / "flip.gguf"
    spec = ModelSpec("bitnet-b1.58", n_layer=2, n_ff=512, n_vocab=320, weight_format="TQ2_0", seed=49)
    make_model(path, spec)
    tokens = (204, 143, 112, 24, 169, 176, 226, 130, 187, 27, 258, 201)
    name = "plain, kv q8_0, f16_inputs bf16 in one row, rounding down, embeddings int8, stages f16"
    engine = Float32Engine(arithmetic_named(name), change)
    result = compared(engine, open_model(path), tokens=tokens, chunking=Chunking("decode"))
    assert result.explanation is not None
    assert (result.explanation["exact"], result.explanation["flipped"]) == (11, flipped)
    assert result.verdict is (Verdict.EXPLAINED if flipped else Verdict.DIVERGED)


@pytest.mark.parametrize("name", ["plain", "plain, rounding away"])
def test_way_of_a_tie_is_probed_where_the_run_does_not_show_it(tmp_path: Path, name: str) -> None:
    """In this run a flip of the engine that rounds to even looks as if it rounded half away from zero."""
    path = tmp_path / "flip.gguf"
    spec = ModelSpec("bitnet-b1.58", n_layer=1, n_ff=512, n_vocab=320, weight_format="TQ2_0", seed=40)
    make_model(path, spec)
    tokens = (258, 313, 48, 38, 305, 266, 127, 175)
    result = compared(Float32Engine(arithmetic_named(name)), open_model(path), tokens=tokens)
    assert result.explanation is not None
    assert result.explanation["actual"]["arithmetic"] == name
    assert result.explanation["actual"]["undecided"] == []
    assert result.verdict is Verdict.EXPLAINED


IN_FLOATS_UNTIL_THE_HEAD = (
    "plain, q bf16 in one row, activations none, head int8, embeddings int8, stages f16"
)


def without_rope_in_one_layer(definition: Definition) -> Definition:
    """In the bundled model alone, so that small models show nothing of it."""
    return (
        with_mistake("leaves out RoPE", (3, "q_rope"))(definition)
        if definition.hyper.n_layer > 3
        else definition
    )


@pytest.mark.parametrize(
    ("change", "verdict"), [(None, Verdict.EXPLAINED), (without_rope_in_one_layer, Verdict.DIVERGED)]
)
def test_engine_whose_every_row_has_a_tie_is_explained_by_how_far_last_bits_carry(
    change: Callable[[Definition], Definition] | None, verdict: Verdict
) -> None:
    engine = Float32Engine(arithmetic_named(IN_FLOATS_UNTIL_THE_HEAD), change)
    tokens = (161, 247, 33, 198, 234, 231, 195, 87, 193, 245, 290, 257)
    result = compared(engine, open_model(bundled_model("bitnet", "I2_S")), tokens=tokens)
    assert result.verdict is verdict
    assert result.explanation is not None
    assert result.explanation["actual"]["arithmetic"] == IN_FLOATS_UNTIL_THE_HEAD
    assert result.explanation["actual"]["has_ties"] is (verdict is Verdict.EXPLAINED)
    assert result.explanation["actual"]["residual"] > 1e-3


@pytest.mark.parametrize(("required", "code"), [("agree", 1), ("explained", 0), ("noise", 0)])
def test_required_verdict_decides_what_passes(model: Model, required: str, code: int) -> None:
    result = compared(Float32Engine(), model, required=Verdict(required), chunking=Chunking("decode"))
    assert result.verdict is Verdict.EXPLAINED
    assert result.exit_code == code


def test_comparison_names_the_mistake_that_the_logits_fit(float_model: Model) -> None:
    result = compared(Float32Engine(change=mistake(float_model, "leaves out RoPE")), float_model, LLAMA_CPP)
    assert result.verdict is Verdict.DIVERGED
    assert result.exit_code == 1
    assert result.explanation is not None
    assert not result.explanation["holds"]
    assert "my-engine is wrong, its logits fit: it leaves out RoPE" in str(result.explanation["sentence"])


def test_what_only_long_calls_do_wrong_is_not_called_right(model: Model) -> None:
    """A short sequence shows no later position that could be seen."""
    result = compared(Float32Engine(change=mistake(model, "lets positions see later ones")), model)
    assert result.verdict is Verdict.DIVERGED
    assert result.explanation is not None
    assert not result.explanation["holds"]
    assert "is right" not in str(result.explanation["sentence"])


def test_engines_that_agree_are_not_explained(model: Model) -> None:
    result = compared(OracleEngine(BITNET_CPP), model)
    assert result.verdict is Verdict.AGREE
    assert result.explanation is None


def test_command_line_names_the_least_that_passes() -> None:
    path = str(bundled_model("bitnet", "I2_S"))
    arguments = [path, "--reference", "oracle", "--candidate", "oracle", "--tokens", "1,2", "--require"]
    assert CliRunner().invoke(command, [*arguments, "explained"]).exit_code == 0
    assert "'agree', 'explained', 'noise'" in CliRunner().invoke(command, [*arguments, "luck"]).output
