"""Every stage against the oracle, on the inputs that the engine itself recorded.

Inputs are shared, so neither rounding flips nor earlier stages come in, and the bound is tight: what float32
sums in the order of ggml lose against float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage
from bitparity.architectures.llama import LLAMA
from bitparity.blame.bounds import allowed_error
from bitparity.engine import StageValue
from bitparity.model import open_model
from bitparity.oracle.arithmetic import arithmetic_named
from bitparity.oracle.definition import Definition, Place
from bitparity.stages import StageFilter
from bitparity_native.engine import NativeEngine
from native.models import ModelOf

LIMIT = 8 * 2.0**-24  # relative L2; a value is rounded a few times, by at most 2^-24 each
N = 10  # tokens of the prefill; then one decode step
IDS = [int(t) for t in np.random.default_rng(0).integers(0, 512, N + 1)]
Values = dict[tuple[int, str], np.ndarray]


def record(session: Any) -> tuple[Values, Values]:
    """Stages of a prefill and of the decode step after it."""
    calls: tuple[Values, Values] = ({}, {})

    def sink(value: StageValue) -> None:
        calls[value.seq][value.layer, value.stage] = value.values.astype(np.float64)

    with session.tap(StageFilter.parse("*:*"), sink):
        session.prefill(IDS[:N])
        session.decode(IDS[N])
    return calls


def inputs_of(
    needs: tuple[str, ...], layer: int, n_layer: int, call: Values, before: Values, ids: list[int]
) -> dict[str, Any]:
    """What a stage takes, as the engine recorded it; `before` holds the call before this one."""
    last_block = n_layer - 1 if layer == -1 else layer - 1
    made: dict[str, Any] = {"tokens": ids}
    made["block_input"] = call[-1, "embeddings"] if last_block < 0 else call[last_block, "layer_out"]
    for name, stage in (("keys", "k_rope"), ("values", "v_proj")):
        if name in needs:
            rows = [c[layer, stage] for c in (before, call) if c]
            made[name] = np.concatenate(rows)
    return {need: made[need] if need in made else call[layer, need] for need in needs}


def local_errors(path: Any, arithmetic: str) -> dict[tuple[int, str, int], float]:
    session = NativeEngine(arithmetic=arithmetic).open(path, context=64, threads=1)
    model = open_model(path)
    definition = Definition.of(model, arithmetic_named(arithmetic))
    prefill, decode = record(session)
    errors = {}
    for call, before, first, ids in ((prefill, {}, 0, IDS[:N]), (decode, prefill, N, IDS[N:])):
        place_rows = np.arange(first, first + len(ids))
        for (layer, stage), actual in call.items():
            needs = model.hyper.architecture.by_name[stage].inputs
            inputs = inputs_of(needs, layer, model.hyper.n_layer, call, before, ids)
            place = Place(layer, place_rows, len(ids))
            expected = definition.compute(stage, place, inputs)
            if (stage, model.hyper.activation) == ("ffn_act", "gelu"):  # an entry of the table may be one off
                allowed = allowed_error(definition, stage, place, inputs, expected)
                actual = np.where(np.abs(actual - expected) <= allowed, expected, actual)
            errors[layer, stage, first] = float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
    return errors


def check(path: Any, arithmetic: str) -> None:
    errors = local_errors(path, arithmetic)
    assert errors
    over = {place: error for place, error in errors.items() if not error <= LIMIT}
    assert not over


@pytest.mark.parametrize("arithmetic", ["bitnet.cpp", "llama.cpp", "llama.cpp/neon"])
@pytest.mark.parametrize("weight_format", ["I2_S", "TQ1_0", "TQ2_0", "F16", "BF16", "F32"])
@pytest.mark.parametrize("arch", list(ARCHITECTURES))
def test_every_stage_of_every_arch_and_format(
    model_of: ModelOf, arch: str, weight_format: str, arithmetic: str
) -> None:
    if (weight_format, arithmetic) == ("I2_S", "llama.cpp/neon"):
        pytest.skip("llama.cpp has no I2_S, and what is fused on AArch64 is known of its Q8_K alone")
    check(model_of(arch=arch, weight_format=weight_format), arithmetic)


@pytest.mark.parametrize(
    "fields",
    [
        {"n_head": 1, "n_head_kv": 1},
        {"n_head": 8, "n_head_kv": 1},
        {"n_head": 8, "n_head_kv": 8},
        {"tied": False},
        {"embedding_transposed": True},
        {"head_format": "F32"},
        {"head_format": "BF16"},
        {"head_format": "F16", "tied": False, "arch": "llama"},
        {"n_vocab": 517},
        {"weight_format": "F16", "n_embd": 264, "n_head": 3, "n_head_kv": 3, "n_ff": 520},
        {"arch": "qwen3", "key_length": 128},
        {"arch": "qwen3-bitnet", "pooling_type": 3},
        {"arch": "gemma3", "key_length": 128, "n_layer": 7, "sliding_window": 16},
        {"arch": "gemma3", "key_length": 128, "n_layer": 62, "n_ff": 256},
        {"rope_scaling": "linear", "rope_factor": 8.0},
        {"arch": "qwen3", "rope_scaling": "yarn", "rope_factor": 4.0, "original_context": 16},
    ],
    ids=lambda fields: ",".join(f"{k}={v}" for k, v in fields.items()),
)
@pytest.mark.parametrize("arithmetic", ["bitnet.cpp", "llama.cpp"])
def test_every_stage_of_other_shapes_and_heads(
    model_of: ModelOf, fields: dict[str, object], arithmetic: str
) -> None:
    check(model_of(**fields), arithmetic)


@pytest.mark.parametrize(
    "fields",
    [
        {"rope_scaling": "linear", "rope_factor": 3.0},
        {"rope_scaling": "yarn", "rope_factor": 4.0, "original_context": 128, "rope_base": 1e6},
        {"rope_scaling": "yarn", "rope_factor": 3.0, "original_context": 4096},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_stretched_rotation_of_late_positions_is_within_what_roundings_explain(
    model_of: ModelOf, fields: dict[str, object]
) -> None:
    path = model_of(arch="qwen3", n_layer=1, key_length=128, **fields)
    positions = np.arange(300)
    session = NativeEngine(arithmetic="llama.cpp").open(path, context=len(positions), threads=1)
    values = {}
    with session.tap(StageFilter.parse("0:*"), lambda v: values.update({v.stage: np.array(v.values)})):
        session.prefill([int(i) for i in positions])
    definition = Definition.of(open_model(path), arithmetic_named("llama.cpp"))
    place = Place(0, positions, len(positions))
    for stage, before in (("q_rope", "q_norm"), ("k_rope", "k_norm")):
        inputs = {before: values[before].astype(np.float64)}
        expected = definition.compute(stage, place, inputs)
        allowed = allowed_error(definition, stage, place, inputs, expected)
        assert (np.abs(values[stage] - expected) <= allowed).all()


def with_norm_of_heads(after: str) -> Architecture:
    """Llama with an RMSNorm of every head behind a stage, named like a stage of the vocabulary."""
    norm = GraphStage("attn_sub_norm", "norm", (after,), "attn_sub_norm")
    stages: list[GraphStage] = []
    for stage in LLAMA.stages:
        inputs = tuple(norm.name if need == after else need for need in stage.inputs)
        stages += [replace(stage, inputs=inputs), *([norm] if stage.name == after else [])]
    weight = BlockWeight("attn_sub_norm", "attn_sub_norm", ("head_dim",))
    return replace(LLAMA, name=f"{after}-norm", stages=tuple(stages), weights=(*LLAMA.weights, weight))


@pytest.mark.parametrize("after", ["q_proj", "k_proj", "attn_ctx"])
def test_norm_of_every_head_needs_nothing_but_the_list(
    model_of: ModelOf, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    architecture = with_norm_of_heads(after)
    monkeypatch.setitem(ARCHITECTURES, architecture.name, architecture)
    path = model_of(arch=architecture.name)
    assert open_model(path).weights.layers[0]["attn_sub_norm"].shape == (64,)
    assert (1, "attn_sub_norm", 0) in local_errors(path, "llama.cpp")
    check(path, "llama.cpp")


def test_norm_where_the_core_has_no_place_for_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = with_norm_of_heads("v_proj")
    monkeypatch.setitem(ARCHITECTURES, architecture.name, architecture)
    refused = str(NativeEngine().refusal(architecture.name, {"F32"}))
    assert refused.endswith("gemma3-bitnet, not 'v_proj-norm'")


def test_a_fault_is_over_the_limit(model_of: ModelOf) -> None:
    """The check sees what it is for: F16 activations of the other arithmetic are 1e-4 away."""
    path = model_of(weight_format="F16")
    session = NativeEngine(arithmetic="bitnet.cpp").open(path, context=64, threads=1)
    prefill, _ = record(session)
    definition = Definition.of(open_model(path), arithmetic_named("llama.cpp"))
    actual = prefill[0, "q_proj"]
    expected = definition.compute("q_proj", Place(0, np.arange(N), N), {"attn_norm": prefill[0, "attn_norm"]})
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert error > 100 * LIMIT
