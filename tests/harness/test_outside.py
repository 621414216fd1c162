"""What a comparison says of an engine that states nothing and may record nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.result import ComparisonResult
from bitparity.compare.run import compare_engines
from bitparity.engine import Engine, Sink, StageValue
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.noise.verdict import Verdict
from bitparity.oracle.arithmetic import BITNET_CPP, PLAIN, arithmetic_named
from bitparity.oracle.composed import Composed
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine
from bitparity.probe.sheet import words_of
from bitparity.probe.surgery import operate
from bitparity.settings import read_settings
from harness.float32_engine import Float32, Float32Engine, Untapped, with_mistake
from harness.test_probe import Stating

TOKENS = (34, 44, 106, 67, 315, 90, 12, 77)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("outside") / "model.gguf"
    make_model(path, ModelSpec(n_layer=2, n_ff=512, n_vocab=320, weight_format="TQ2_0"))
    return open_model(path)


def blamed(candidate: Engine, model: Model, chunks: str = "prefill") -> ComparisonResult:
    """Against the oracle in bitnet.cpp's arithmetic, stages judged."""
    comparison = Comparison(
        Side(OracleEngine(BITNET_CPP), model),
        Side(candidate, model),
        prompts=[Prompt(tokens=TOKENS)],
        settings=read_settings({}),
        chunking=Chunking.parse(chunks),
    )
    return compare_engines(comparison, blame=True)


def test_two_mistakes_under_foreign_axes_are_named_from_logits_alone(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_needed(*arguments: Any, **options: Any) -> None:
        raise AssertionError("copies of the model were read although the logits had told the mistakes")

    def change(definition: Any) -> Any:
        one: Any = with_mistake("leaves out RoPE")(definition)
        other: Any = with_mistake("computes ReLU² where SiLU is defined")(definition)
        return Composed.make(definition, one.changed | other.changed)

    monkeypatch.setattr("bitparity.compare.outside.operate", not_needed)
    planted = arithmetic_named("plain, activations token, rounding away, head int8 away")
    result = blamed(Untapped(Float32Engine(planted, change)), model)
    assert (result.verdict, result.exit_code) == (Verdict.DIVERGED, 1)
    assert result.explanation is not None
    assert result.explanation["actual"]["arithmetic"] == planted.name
    assert result.blame is not None
    assert result.blame["sentence"] == (
        "my-engine is wrong: every layer, q_rope, k_rope, ffn_act: it computes ReLU² where SiLU is defined "
        "and leaves out RoPE; it records no stages and was read from outside"
    )


@pytest.mark.parametrize(
    "name",
    [
        "plain, kv bf16, activations block 64, largest 128, head q8_0",
        "plain, kv bf16, activations block 64, rounding zero",  # the largest value of every row is at a tie
    ],
)
def test_sound_engine_without_a_tap_is_read_by_the_arithmetic_that_its_logits_told(
    model: Model, name: str
) -> None:
    result = blamed(Untapped(Float32Engine(arithmetic_named(name))), model, "decode")
    assert (result.verdict, result.exit_code) == (Verdict.EXPLAINED, 0)
    assert result.blame is not None
    assert result.blame["actual"]["outside"]["arithmetic"] == name
    assert result.resolution is not None
    assert (result.resolution["limit"] > 1e-3) == ("rounding zero" in name)


def test_engine_that_states_another_arithmetic_is_judged_by_its_own(model: Model) -> None:
    stated = arithmetic_named("plain, kv f16")
    boasting = OracleEngine(stated, lambda m, _: Stating.of(m, stated))
    result = blamed(boasting, model)
    assert (result.verdict, result.exit_code) == (Verdict.EXPLAINED, 0)
    assert result.blame is not None
    assert result.blame["actual"]["arithmetic"] == "plain, found in its stages"


class Altering(Untapped):
    """Records what `alter` makes of every value; None is not recorded."""

    def __init__(self, engine: OracleEngine, alter: Callable[[StageValue], StageValue | None]) -> None:
        super().__init__(engine)
        self._alter = alter

    def open(self, *arguments: Any, **options: Any) -> Any:
        session: Any = self._engine.open(*arguments, **options)
        own = session.tap

        @contextmanager
        def tap(stages: Any, sink: Sink) -> Iterator[None]:
            def altered(value: StageValue) -> None:
                instead = self._alter(value)
                if instead is not None:
                    sink(instead)

            with own(stages, altered):
                yield

        session.tap = tap
        return session


def zeros_of(value: StageValue) -> StageValue:
    return replace(value, values=np.zeros_like(value.values))


@pytest.mark.parametrize(
    ("alter", "guilty", "said"),
    [
        (lambda value: None, False, "my-engine records no stages: it was not judged"),
        (
            lambda value: zeros_of(value) if value.stage == "attn_out" else None,
            False,
            "my-engine was not judged: needs layer -1 embeddings at position 0, which was not recorded",
        ),
        (zeros_of, True, "my-engine is wrong: embeddings, from position 0: it gives zeros ("),
        (
            lambda value: replace(value, values=value.values[..., 1:]) if value.stage == "ffn_act" else value,
            True,
            "layer 0, ffn_act, from position 0: it has shape (511,) where (512,) is defined",
        ),
    ],
)
def test_what_a_tap_does_not_give_is_told_and_never_acquitted(
    model: Model, alter: Callable[[StageValue], StageValue | None], guilty: bool, said: str
) -> None:
    result = blamed(Altering(Float32Engine(BITNET_CPP), alter), model)
    assert result.blame is not None
    assert said in result.blame["sentence"]
    assert "or my-engine is wrong" not in result.blame["sentence"]
    assert (result.verdict is Verdict.DIVERGED) is guilty


def test_block_that_computes_in_another_arithmetic_is_told(model: Model) -> None:
    def change(definition: Definition) -> Definition:
        other = Float32(definition.hyper, definition.weights, PLAIN.having(kv="bf16"))
        return Composed.make(definition, {(0, "attn_probs"): other, (0, "attn_ctx"): other})

    sheet = operate(Float32Engine(PLAIN, change), read_settings({}), model, TOKENS)
    (wrong,) = sheet.wrong
    assert words_of(wrong) == "layer 1, attention: it keeps K and V in float32, unlike parts before"
