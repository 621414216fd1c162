"""What transformers is given of a model: class, configuration, weights, places of stages.  Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity_reference.transformers import engine
from bitparity_reference.transformers.arithmetic import arithmetic_of_model
from bitparity_reference.transformers.classes import class_of, module_of
from bitparity_reference.transformers.configuration import configuration_of
from bitparity_reference.transformers.state import rotated_order, state_of
from bitparity_reference.transformers.taps import tap_points

ModelFile = Callable[..., Path]
CLASSES = {
    "bitnet": "BitNetForCausalLM",
    "bitnet-25": "BitNetForCausalLM",
    "bitnet-b1.58": "BitNetForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3-bitnet": "Qwen3ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "gemma3-bitnet": "Gemma3ForCausalLM",
}


def opened(model_file: ModelFile, **fields: object) -> Model:
    return open_model(model_file(**fields))


def test_every_architecture_has_a_class() -> None:
    assert {name: class_of(a).name for name, a in ARCHITECTURES.items()} == CLASSES


def test_a_bitnet_without_norms_inside_its_branches_is_a_llama() -> None:
    bitnet = ARCHITECTURES["bitnet"]
    assert class_of(bitnet.without(bitnet.inner_norms)).name == "LlamaForCausalLM"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_stage_is_seen_at_a_place_of_its_own(arch: str) -> None:
    architecture = ARCHITECTURES[arch]
    points = tap_points(architecture)
    assert [point.stage for point in points] == list(architecture.by_name)
    seen = {(p.module, p.side) for p in points if p.side != "attention"}
    assert len(seen) == len(points) - 3  # all but q_rope, k_rope and attn_probs, which share one


def test_the_embedding_of_a_text_is_left_to_who_pools_it() -> None:
    points = tap_points(ARCHITECTURES["qwen3"].with_pooling())
    assert "pooled" not in [point.stage for point in points]


def test_a_norm_before_a_projection_lies_in_the_projection() -> None:
    architecture = ARCHITECTURES["qwen3-bitnet"]
    places = {name: module_of(architecture, s) for name, s in architecture.by_name.items() if s.weight}
    assert places["ffn_sub_norm"] == "mlp.down_proj.rms_norm"
    assert places["q_in_norm"] == "self_attn.q_proj.rms_norm"
    assert places["q_norm"] == "self_attn.q_norm"


def test_ternary_weights_become_codes_and_the_scale_of_the_file(model_file: ModelFile) -> None:
    model = opened(model_file, arch="bitnet", weight_format="I2_S")
    state = state_of(model)
    name, tensor = "model.layers.1.mlp.down_proj", model.weights.layers[1]["down"]
    assert name in state.ternary
    assert set(np.unique(state.values[f"{name}.weight"])) == {-1, 0, 1}
    product = state.values[f"{name}.weight"] * state.values[f"{name}.weight_scale"]
    np.testing.assert_array_equal(product, tensor.values())
    assert "lm_head.weight" not in state.values  # tied


def test_ternary_blocks_with_scales_of_their_own_become_values(model_file: ModelFile) -> None:
    model = opened(model_file, arch="bitnet", weight_format="TQ2_0")
    tensor = model.weights.layers[0]["up"]
    scaled = tensor.data.copy()
    form = tensor.weight_format
    form.scales_in(scaled, *tensor.shape)[0, 0] *= 2
    layers = ({**model.weights.layers[0], "up": tensor.holding(scaled)}, model.weights.layers[1])
    state = state_of(replace(model, weights=replace(model.weights, layers=layers)))
    name = "model.layers.0.mlp.up_proj"
    assert name in state.ternary
    assert state.values[f"{name}.weight_scale"] == 1
    np.testing.assert_array_equal(state.values[f"{name}.weight"], form.unpack(scaled, *tensor.shape))


def test_pairs_of_a_llama_become_halves_of_a_head(model_file: ModelFile) -> None:
    assert rotated_order(8).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    model = opened(model_file, arch="llama", weight_format="F16")
    rows = state_of(model).values["model.layers.0.self_attn.k_proj.weight"]
    stored = model.weights.layers[0]["k"].values()
    head_dim = model.hyper.head_dim
    np.testing.assert_array_equal(rows[head_dim + 1], stored[head_dim + 2])  # second pair of the second head
    np.testing.assert_array_equal(rows[head_dim + head_dim // 2], stored[head_dim + 1])
    neox = opened(model_file, arch="qwen3", weight_format="F16")
    same = state_of(neox).values["model.layers.0.self_attn.k_proj.weight"]
    np.testing.assert_array_equal(same, neox.weights.layers[0]["k"].values())


def test_norms_of_gemma_are_less_one_unless_they_lie_in_a_projection(model_file: ModelFile) -> None:
    model = opened(model_file, arch="gemma3-bitnet", weight_format="I2_S")
    values, layer = state_of(model).values, model.weights.layers[0]
    stored = values["model.layers.0.input_layernorm.weight"]
    np.testing.assert_array_equal(stored + np.float32(1), layer["attn_norm"].values())
    inside = values["model.layers.0.self_attn.q_proj.rms_norm.weight"]
    np.testing.assert_array_equal(inside, layer["q_in_norm"].values())


def test_a_norm_that_cannot_be_kept_less_one_is_refused(model_file: ModelFile) -> None:
    model = opened(model_file, arch="gemma3", weight_format="F16")
    norm = model.weights.output_norm
    tiny = norm.holding(np.full(norm.shape, 1e-5, np.float32).view(np.uint8))
    changed = replace(model, weights=replace(model.weights, output_norm=tiny))
    with pytest.raises(BadInput, match=r"output_norm\.weight has weights that Gemma3ForCausalLM"):
        state_of(changed)


def test_norms_before_projections_of_floats_are_refused(model_file: ModelFile) -> None:
    model = opened(model_file, arch="qwen3-bitnet", weight_format="F16")
    with pytest.raises(BadInput, match=r"attn_q\.weight is F16; .* only where weights are ternary"):
        state_of(model)


def test_windows_and_both_bases_of_rope_are_told(model_file: ModelFile) -> None:
    hyper = opened(model_file, arch="gemma3", weight_format="F16", sliding_window=16, n_layer=7).hyper
    given = configuration_of(hyper, head_is_tied=True)
    assert given["layer_types"] == [*["sliding_attention"] * 5, "full_attention", "sliding_attention"]
    assert given["sliding_window"] == 16
    bases = {kind: rope["rope_theta"] for kind, rope in given["rope_parameters"].items()}
    assert bases == {"full_attention": hyper.rope_base, "sliding_attention": hyper.windowed_rope_base}


def test_rope_scaling_is_told(model_file: ModelFile) -> None:
    fields = {"rope_scaling": "yarn", "rope_factor": 4.0, "original_context": 1024}
    hyper = opened(model_file, arch="qwen3", weight_format="F16", **fields).hyper
    rope = configuration_of(hyper, head_is_tied=True)["rope_parameters"]
    assert (rope["rope_type"], rope["factor"]) == ("yarn", 4.0)
    assert rope["original_max_position_embeddings"] == 1024


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rope_dim": 32}, "rotates whole heads"),
        ({"head_dim": 128, "rope_dim": 128}, "wide, 256, and the heads"),
    ],
)
def test_shapes_that_the_class_cannot_have_are_refused(
    model_file: ModelFile, changes: dict[str, Any], said: str
) -> None:
    hyper = opened(model_file, arch="bitnet", weight_format="I2_S").hyper
    with pytest.raises(BadInput, match=said):
        configuration_of(replace(hyper, **changes), head_is_tied=True)


@pytest.mark.parametrize(
    ("fields", "stated"),
    [
        ({"weight_format": "F16"}, "plain"),
        ({"weight_format": "TQ2_0"}, "plain, activations token"),
        ({"weight_format": "Q8_0"}, "plain, block_inputs f32"),
        ({"weight_format": "I2_S", "head_format": "Q6_K"}, "plain, block_inputs f32, activations token"),
    ],
)
def test_the_arithmetic_is_that_of_the_formats(
    model_file: ModelFile, fields: dict[str, str], stated: str
) -> None:
    assert arithmetic_of_model(opened(model_file, arch="bitnet", **fields), quantises=True).name == stated


def test_what_is_missing_is_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_version", lambda package: None if package == "torch" else "5")
    found = engine.TransformersEngine().availability()
    assert not found.found
    assert found.what == "torch is not installed"
    assert "pip install 'bitparity[transformers]'" in found.advice


def test_a_format_that_nobody_unpacks_is_refused() -> None:
    assert engine.TransformersEngine().refusal("llama", {"F16", "I2_S"}) is None
    assert "IQ4_XS" in str(engine.TransformersEngine().refusal("llama", {"IQ4_XS"}))
    assert "mamba" in str(engine.TransformersEngine().refusal("mamba", {"F16"}))


def test_a_version_that_is_too_old_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.5.1+cpu", "transformers": "4.57.0"}
    monkeypatch.setattr(engine, "_version", versions.get)
    available = engine.TransformersEngine().availability()
    assert not available.found
    assert available.what.startswith("transformers 4.57.0 is installed, where >=")
    versions["transformers"] = "5.99.0"
    assert engine.TransformersEngine().availability().found
