"""Checkpoints opened as models: every way of storing weights, what is stated of it, and what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.cli import inspect
from bitparity.errors import BadInput
from bitparity.formats import get_format
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.model.verify import verify_weights
from checkpoint_files import Style, bfloat16, codes_of, trained, write_checkpoint

SPECS = {
    "bitnet-b1.58": ModelSpec("bitnet-b1.58", rope_base=500_000.0),
    "bitnet": ModelSpec("bitnet"),
    "llama": ModelSpec("llama", tied=False),
    "qwen3-bitnet": ModelSpec("qwen3-bitnet", key_length=32),
    "gemma3-bitnet": ModelSpec("gemma3-bitnet", key_length=64, sliding_window=32, rope_base=1e6),
}
EXACT: tuple[Style, ...] = ("packed", "codes", "ternary")
QUANTISED_AGAIN = {("qwen3-bitnet", "ternary"), ("gemma3-bitnet", "ternary")}  # so that they are ambiguous


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """GGUF files of small models, from whose weights checkpoints are written."""
    folder = tmp_path_factory.mktemp("sources")
    paths = {arch: folder / f"{arch}.gguf" for arch in SPECS}
    for arch, path in paths.items():
        make_model(path, SPECS[arch])
    return paths


@pytest.mark.parametrize(("arch", "style"), [c for c in product(SPECS, EXACT) if c not in QUANTISED_AGAIN])
def test_checkpoint_holds_the_weights_and_hyperparameters_that_it_was_written_from(
    sources: dict[str, Path], arch: str, style: Style, tmp_path: Path
) -> None:
    expected = open_model(sources[arch])
    actual = open_model(write_checkpoint(tmp_path / "checkpoint", sources[arch], style))
    found = verify_weights(expected, actual)
    assert found.is_same, found.differences[:1]
    assert found.tensors == len(expected.tensors) - (not expected.weights.head_is_tied)
    assert actual.hyper.as_dict() == expected.hyper.as_dict()
    assert list(actual.tensors) == list(expected.tensors)


@pytest.mark.parametrize("arch", ["bitnet-b1.58", "llama"])
def test_inverse_scale_is_divided_by(sources: dict[str, Path], arch: str, tmp_path: Path) -> None:
    expected = open_model(sources[arch])
    actual = open_model(write_checkpoint(tmp_path / "checkpoint", sources[arch], "inverse"))
    for name, tensor in actual.tensors.items():
        if tensor.format == "CODES":
            codes, scale = unpack(actual, name)
            expected_codes, direct = unpack(expected, name)
            assert np.array_equal(codes, expected_codes)
            stored = get_format("BF16").unpack(
                get_format("BF16").pack(np.array([[1 / np.float32(direct)]])), 1, 1
            )
            assert scale == float(np.float32(1) / stored[0, 0])
    assert actual.notes == ("packed weights, divided by weight_scale: linear_class 'bitlinear'",)


def unpack(model: Model, name: str) -> tuple[Any, float]:
    tensor: Any = model.tensors[name]
    codes, scales = tensor.weight_format.unpack_codes(tensor.data, *tensor.shape)
    return codes, float(scales.reshape(-1)[0])


def test_weights_of_training_are_rounded_to_multiples_of_their_mean(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    """The definition in float64, of the values as BF16 has them."""
    source = open_model(sources["bitnet"])
    actual = open_model(write_checkpoint(tmp_path / "checkpoint", sources["bitnet"], "mean"))
    for name, tensor in actual.tensors.items():
        if tensor.format != "CODES":
            continue
        values = trained(*codes_of(source, source.tensors[name]), 0)
        stored = get_format("BF16").unpack(get_format("BF16").pack(values), *values.shape).astype(np.float64)
        mean = np.abs(stored).mean()
        codes, scale = unpack(actual, name)
        assert np.array_equal(codes, np.clip(np.rint(stored / mean), -1, 1))
        assert scale == pytest.approx(mean, rel=2**-22)
    assert "quantization_mode 'online'" in actual.notes[0]


def test_shards_are_read_through_their_index(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"], shards=3)
    assert len(list(folder.glob("*.safetensors"))) == 3
    assert verify_weights(open_model(sources["llama"]), open_model(folder)).is_same
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(BadInput, match=r"model-00002-of-00003.safetensors is no whole safetensors file"):
        open_model(folder)


def test_dense_checkpoint_keeps_its_values_in_the_order_of_a_gguf_file(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    source = open_model(sources["llama"])
    actual = open_model(write_checkpoint(tmp_path / "checkpoint", sources["llama"], "dense"))
    name = "blk.1.attn_k.weight"
    values = trained(*codes_of(source, source.tensors[name]), 0)
    stored = get_format("BF16").unpack(get_format("BF16").pack(values), *values.shape)
    head, half = source.hyper.head_dim, source.hyper.head_dim // 2
    rows = actual.tensors[name].values()
    assert actual.tensors[name].format == "BF16"
    assert np.array_equal(rows[head + 2], stored[head + 1])  # pair 1 of head 1: (2, 3) from (1, 1 + half)
    assert np.array_equal(rows[head + 3], stored[head + 1 + half])
    assert actual.notes == ("weights are not quantised",)


PACKED_WITHOUT = {"quantization_config": None}


def test_direction_of_a_scale_without_quantization_config_is_found_by_size(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    for style, word in (("packed", "multiplied"), ("inverse", "divided")):
        folder = write_checkpoint(tmp_path / style, sources["llama"], style, config=PACKED_WITHOUT)  # type: ignore[arg-type]
        assert open_model(folder).notes == (
            f"packed weights, {word} by weight_scale: their size leaves no other reading",
        )


def scales_of_one(source: Path) -> dict[str, Any]:
    model = open_model(source)
    modules = [f"self_attn.{name}_proj" for name in "qkvo"]
    modules += [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    return {
        f"model.layers.{i}.{module}.weight_scale": bfloat16(np.array([1.25], dtype=np.float32))
        for i in range(model.hyper.n_layer)
        for module in modules
    }


def test_scale_that_could_be_either_is_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "checkpoint",
        sources["llama"],
        config=PACKED_WITHOUT,
        tensors=scales_of_one(sources["llama"]),
    )
    with pytest.raises(BadInput, match="whether to multiply or to divide by it, and both are possible"):
        open_model(folder)


AMBIGUOUS: dict[str, tuple[str, Style, dict[str, Any], str]] = {
    "said the other way": (
        "llama",
        "packed",
        {"quantization_config": {"quant_method": "bitnet", "linear_class": "bitlinear"}},
        "outputs are divided by weight_scale, but their size says the opposite",
    ),
    "quantised already": (
        "bitnet",
        "ternary",
        {"quantization_config": {"quant_method": "bitnet", "quantization_mode": "online"}},
        "would be quantised again with its mean as the scale .*'online'",
    ),
    "quantised by its class": (
        "bitnet",
        "ternary",
        {"architectures": ["BitnetForCausalLM"]},
        "would be quantised again with its mean as the scale .*the class BitnetForCausalLM",
    ),
    "training or not": ("bitnet", "dense", {}, "whether they are to be quantised is not said"),
    "no scale": (
        "bitnet",
        "dense",
        {"quantization_config": {"quant_method": "bitnet"}},
        "floats of several magnitudes and has no weight_scale",
    ),
    "packed and online": (
        "llama",
        "packed",
        {"quantization_config": {"quant_method": "bitnet", "quantization_mode": "online"}},
        "packed, and quantization_mode 'online' needs those of training",
    ),
    "another method": ("llama", "packed", {"quantization_config": {"quant_method": "gptq"}}, "'gptq'; only"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_ambiguous_checkpoint_is_refused(sources: dict[str, Path], case: str, tmp_path: Path) -> None:
    arch, style, config, sentence = AMBIGUOUS[case]
    folder = write_checkpoint(tmp_path / "checkpoint", sources[arch], style, config=config)
    with pytest.raises(BadInput, match=f"checkpoint: .*{sentence}"):
        open_model(folder)


UNSUPPORTED: dict[str, tuple[dict[str, Any], str]] = {
    "class": ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM.*not one of BitNetForCausalLM"),
    "bias": ({"attention_bias": True}, "attention_bias is True; only False"),
    "activation": ({"hidden_act": "relu2"}, "hidden_act is 'relu2'; LlamaForCausalLM is read with silu"),
    "missing": ({"num_hidden_layers": None}, "lacks num_hidden_layers"),
    "stretching": ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic' is none of default"),
    "of yarn": (
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 16}},
        "beta_fast of YaRN is 16; only 32",
    ),
    "unknown of yarn": (
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 2.0}},
        "mscale of RoPE's kind 'yarn' is not supported",
    ),
    "windows": ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types has 'sliding_att"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_would_change_the_numbers_is_refused_by_name(
    sources: dict[str, Path], case: str, tmp_path: Path
) -> None:
    config, sentence = UNSUPPORTED[case]
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"], config=config)
    with pytest.raises(BadInput, match=sentence):
        open_model(folder)


def test_base_of_rope_is_found_where_transformers_5_nests_it(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    nested = {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 123456.0}}
    folder = write_checkpoint(tmp_path / "llama", sources["llama"], config=nested)
    assert open_model(folder).hyper.rope_base == 123456.0
    both = {
        "rope_theta": None,
        "rope_local_base_freq": None,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
        },
    }
    hyper = open_model(write_checkpoint(tmp_path / "gemma", sources["gemma3-bitnet"], config=both)).hyper
    assert (hyper.rope_base, hyper.windowed_rope_base) == (2e6, 5000.0)
    assert hyper.rope_scaling is not None
    assert (hyper.rope_scaling.kind, hyper.rope_scaling.factor) == ("linear", 8.0)


def test_factors_of_llama_3_are_those_of_its_formula(sources: dict[str, Path], tmp_path: Path) -> None:
    """As modeling_rope_utils.py of transformers has it, a pair at a time."""
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 256
    folder = write_checkpoint(tmp_path / "llama", sources["llama"], config={"rope_scaling": scaling})
    tensor = open_model(folder).weights.rope_factors
    assert tensor is not None
    for pair, factor in enumerate(tensor.values()):
        wavelength = 2 * np.pi * 10000.0 ** (2 * pair / 64)
        if wavelength < 256 / 4:
            expected = 1.0
        elif wavelength > 256:
            expected = 8.0
        else:
            smooth = (256 / wavelength - 1) / (4 - 1)
            expected = 1 / ((1 - smooth) / 8 + smooth)
        assert factor == pytest.approx(expected, rel=1e-6)
    assert tensor.values()[[0, -1]].tolist() == [1.0, 8.0]


def test_repeated_head_is_left_out_and_another_one_is_refused(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    values = open_model(sources["bitnet"]).weights.token_embd.values()
    same = {"lm_head.weight": bfloat16(values)}
    opened = open_model(write_checkpoint(tmp_path / "same", sources["bitnet"], tensors=same))
    assert opened.weights.head_is_tied
    assert "repeats the embedding" in opened.notes[1]
    other = {"lm_head.weight": bfloat16(values + np.float32(1))}
    with pytest.raises(BadInput, match="which of the two is the head"):
        open_model(write_checkpoint(tmp_path / "other", sources["bitnet"], tensors=other))
    with pytest.raises(BadInput, match=r"lm_head.weight is missing"):
        open_model(write_checkpoint(tmp_path / "none", sources["llama"], without=("lm_head.weight",)))


def test_tensor_without_a_part_and_missing_tensor_are_named(sources: dict[str, Path], tmp_path: Path) -> None:
    bias = {"model.layers.1.self_attn.q_proj.bias": np.zeros(256, dtype=np.float32)}
    with pytest.raises(BadInput, match=r"layers.1.self_attn.q_proj.bias .*biases are not supported"):
        open_model(write_checkpoint(tmp_path / "bias", sources["llama"], tensors=bias))
    for name, sentence in (
        ("model.layers.1.mlp.ffn_sub_norm.weight", "blk.1.ffn_sub_norm.weight is missing"),
        ("model.layers.0.mlp.up_proj.weight_scale", "layers.0.mlp.up_proj.weight_scale is missing"),
        ("model.norm.weight", "norm.weight is missing"),
    ):
        folder = write_checkpoint(tmp_path / name, sources["bitnet"], without=(name,))
        with pytest.raises(BadInput, match=sentence):
            open_model(folder)


def test_folder_without_a_checkpoint_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is a folder without a config.json"):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"config.json is no JSON"):
        open_model(tmp_path)


def test_commands_for_files_say_what_a_checkpoint_is(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"], shards=2)
    shown = CliRunner().invoke(inspect.command, [str(folder)], catch_exceptions=False).output
    stored = sum(file.stat().st_size for file in folder.iterdir())
    assert f"llama, 2 layers, {stored:,} bytes" in shown
    assert "packed weights, multiplied by weight_scale" in shown
    with pytest.raises(BadInput, match="`bitparity convert` makes a GGUF file of a checkpoint"):
        convert(folder, tmp_path / "model.gguf", "F16")
