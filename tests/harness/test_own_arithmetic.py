"""An engine that states no arithmetic is judged by the one that its stages have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitparity.architectures.graph import GraphStage
from bitparity.blame import own_arithmetic
from bitparity.blame.engines import Evidence, blame, judge_engine
from bitparity.engine import Floats
from bitparity.errors import NotCompared
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import BITNET_CPP, PLAIN, Arithmetic
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.mistakes.row import hyper
from bitparity.oracle.ops import Doubles
from bitparity.oracle.weights import Ternary
from bitparity.probe.chart import CHARTS, make_chart
from bitparity.probe.parts import write_changed, zeros_of
from bitparity.trace import MemoryTrace
from harness.blame_cases import TOKENS, edit, record
from harness.float32_engine import Float32Engine, with_mistake


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "model.gguf"
    make_model(path, ModelSpec(arch="bitnet-b1.58", n_layer=2, n_ff=512, n_vocab=320))
    return path


class FloatSums(Definition):
    """Multiplies dequantised weights with dequantised activations in float32, as PyTorch does."""

    def project(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        matrix = self.matrix(stage, place.layer)
        if not isinstance(matrix, Ternary):
            return super().project(stage, place, x)
        values = self.operand(stage, place, x).astype(np.float32)
        weights = matrix.select(list(range(matrix.rows))).astype(np.float32)
        out: Doubles = (values @ weights.T).astype(np.float64)
        return out


def unstated(trace: MemoryTrace) -> Evidence:
    """Of an engine that nobody knows."""
    return Evidence(trace, BITNET_CPP, states=False)


@pytest.mark.parametrize(
    "arithmetic",
    [
        PLAIN,
        PLAIN.having(kv="bf16"),
        PLAIN.having(kv="q8_0", q="q8_0"),
        PLAIN.having(rounding="zero", largest="128"),
        PLAIN.having(activations="none", kv="f16"),
        PLAIN.having(activations="block 128", probs="bf16 in one row"),
        PLAIN.having(stages="bf16", kv="bf16"),
        PLAIN.having(embeddings="int8", f16_inputs="f16"),
        BITNET_CPP.having(probs="f16"),
    ],
    ids=lambda a: a.name,
)
def test_other_arithmetic_that_is_not_stated_is_no_guilt(path: Path, arithmetic: Arithmetic) -> None:
    judged = judge_engine(open_model(path), unstated(record(path, OracleEngine(arithmetic))), tokens=TOKENS)
    assert not judged.causes, judged.sentence()
    assert judged.arithmetic.endswith(", found in its stages")


@pytest.mark.parametrize("arithmetic", [PLAIN, PLAIN.having(rounding="away", kv="f16")], ids=lambda a: a.name)
def test_sums_in_float32_are_no_guilt_where_no_build_of_ggml_is_stated(
    path: Path, arithmetic: Arithmetic
) -> None:
    trace = record(path, OracleEngine(arithmetic, FloatSums.of))
    judged = judge_engine(open_model(path), unstated(trace), tokens=TOKENS)
    assert not judged.causes, judged.sentence()
    as_ggml = judge_engine(open_model(path), Evidence(trace, BITNET_CPP), tokens=TOKENS)
    assert as_ggml.causes


def test_mistake_in_an_arithmetic_that_is_not_stated_is_named(path: Path) -> None:
    def make(model: Model, arithmetic: Arithmetic) -> Definition:
        return hyper(activation="silu")(Definition.of(model, arithmetic))

    trace = record(path, OracleEngine(PLAIN, make))
    judged = judge_engine(open_model(path), unstated(trace), tokens=TOKENS)
    assert [cause.words for cause in judged.causes] == ["computes SiLU where ReLU² is defined"]


def test_integer_that_is_off_by_one_is_guilty_in_float_sums_too(path: Path) -> None:
    """No bound of float sums hides one code of one activation."""
    model = open_model(path)
    matrix = Definition.of(model).weights.matrix(0, "k")
    assert isinstance(matrix, Ternary)
    largest = np.abs(record(path, OracleEngine(PLAIN), chunks="prefill").value(0, "attn_norm", 3)).max()

    def off_by_one(values: Floats) -> Floats:
        values[3, 7] += matrix.scales.flat[0] * largest / 127
        return values

    trace = record(path, OracleEngine(PLAIN), chunks="prefill", change=edit(0, "k_proj", off_by_one))
    judged = judge_engine(model, unstated(trace), tokens=TOKENS)
    (found,) = (cause for cause in judged.causes if (0, "k_proj") in cause.stages)
    assert found.local.position == 3
    assert "only element 7" in found.words


def test_stated_arithmetic_that_does_not_hold_is_guilt(path: Path) -> None:
    trace = record(path, OracleEngine(PLAIN))
    judged = judge_engine(open_model(path), Evidence(trace, PLAIN.having(kv="bf16")), tokens=TOKENS)
    assert judged.causes
    assert judged.causes[0].is_rounding


def test_engine_that_records_nothing_is_not_acquitted(path: Path) -> None:
    sound = Evidence(record(path, OracleEngine()), BITNET_CPP)
    silent = replace(sound, trace=MemoryTrace("silent"))
    model = open_model(path)
    report = blame(model, sound, silent, tokens=TOKENS)
    assert report.sentence == ("no stage of oracle is wrong; silent records no stages: it was not judged")
    with pytest.raises(NotCompared):
        blame(model, silent, silent, tokens=TOKENS)


def test_rounding_that_only_a_later_layer_shows_is_no_guilt(tmp_path: Path) -> None:
    """Layer 0 adds nothing and has no ties; the codes of layer 1 are ties, whichever way they are rounded."""
    chart = make_chart(tmp_path / "chart.gguf", CHARTS[0])
    norms = {
        tensor.name: np.linspace(0.9, 1.1, tensor.shape[0], dtype=np.float32).view(np.uint8)
        for role, tensor in chart.weights.layers[0].items()
        if role in ("attn_norm", "ffn_norm")
    }
    silent = {
        t.name: zeros_of(t) for role, t in chart.weights.layers[0].items() if role in ("attn_out", "down")
    }
    path = tmp_path / "later.gguf"
    write_changed(chart, path, 2, norms | silent)
    trace = record(path, OracleEngine(PLAIN.having(rounding="away")), tokens=(0, 4, 8))
    judged = judge_engine(open_model(path), unstated(trace), tokens=(0, 4, 8))
    assert not judged.causes, judged.sentence()


def test_no_codes_are_sought_behind_inverted_scales(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take minutes, for every combination is tried of every projection."""
    sought: list[str] = []
    improved = own_arithmetic._Search.improved

    def listed(search: own_arithmetic._Search, arithmetic: Arithmetic, pair: tuple[int, str]) -> Arithmetic:
        sought.append(pair[1])
        return improved(search, arithmetic, pair)

    monkeypatch.setattr(own_arithmetic._Search, "improved", listed)
    trace = record(path, Float32Engine(change=with_mistake("divides by the weight scale")))
    judged = judge_engine(open_model(path), unstated(trace), tokens=TOKENS)
    assert "it divides by the weight scale" in judged.sentence()
    assert not {"q_proj", "k_proj", "v_proj", "attn_out", "ffn_gate", "ffn_up", "ffn_out"} & set(sought)
