"""The layout of an I2_S tensor is told by evidence, and only as surely as the evidence goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.cli.inspect import command
from bitparity.errors import BadInput
from bitparity.formats import I2_S_LAYOUTS, get_format, is_ternary
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.layout_evidence import judge, layout_evidence
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model, Tensor

NAME = "blk.0.ffn_up.weight"


def _relaid(model: Model, layout: str) -> Model:
    """The model as if its I2_S tensors had been written in another layout."""
    tensors = {name: _packed_as(t, layout) if t.format == "I2_S" else t for name, t in model.tensors.items()}
    parts = ("q", "k", "v", "gate", "up", "down", "attn_out")
    layers = tuple(
        layer | {part: tensors[layer[part].name] for part in parts} for layer in model.weights.layers
    )
    return replace(model, tensors=tensors, weights=replace(model.weights, layers=layers))


def _packed_as(tensor: Tensor, layout: str) -> Tensor:
    source, target = get_format("I2_S"), get_format(layout)
    assert is_ternary(source)
    assert is_ternary(target)
    codes, scale = source.unpack_codes(tensor.data, *tensor.shape)
    return tensor.holding(target.pack_codes(codes, float(scale[0, 0])))


@pytest.mark.parametrize("layout", I2_S_LAYOUTS)
@pytest.mark.parametrize("arch", ARCHS)
def test_layout_of_a_trained_model_is_likely_from_the_file_alone(arch: str, layout: str) -> None:
    model = _relaid(open_model(bundled_model(arch, "I2_S")), layout)
    found = judge(layout_evidence(model, NAME))
    assert (found.layout, found.sureness) == (layout, "likely"), found.reason


@pytest.mark.parametrize("layout", I2_S_LAYOUTS)
def test_layout_is_certain_from_another_file_in_another_format(layout: str) -> None:
    model = _relaid(open_model(bundled_model("bitnet", "I2_S")), layout)
    found = judge(layout_evidence(model, NAME, open_model(bundled_model("bitnet", "TQ2_0"))))
    assert (found.layout, found.sureness) == (layout, "certain")


def test_random_weights_leave_the_layout_undecided(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    make_model(path, ModelSpec(n_vocab=512))
    found = judge(layout_evidence(open_model(path), NAME))
    assert (found.layout, found.sureness) == (None, "undecided")


def test_another_model_leaves_the_layout_undecided(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.gguf" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        make_model(path, ModelSpec(n_layer=1, n_vocab=512, seed=seed))
    found = judge(layout_evidence(open_model(paths[0]), NAME, open_model(paths[1])))
    assert (found.layout, found.sureness) == (None, "undecided")


def test_codes_3_point_to_the_other_reading(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512))
    model = open_model(path)
    data = np.full(model.tensors[NAME].data.size, 0b11100100, dtype=np.uint8)
    tensors = {**model.tensors, NAME: model.tensors[NAME].holding(data)}
    found = judge(layout_evidence(replace(model, tensors=tensors), NAME))
    assert found.layout == "QK256"


def test_inspect_says_the_layout_and_how_sure_it_is() -> None:
    paths = [str(bundled_model("bitnet", name)) for name in ("I2_S", "TQ2_0")]
    alone = CliRunner().invoke(command, [paths[0], "--layout", NAME]).output
    assert f"{NAME}: I2_S (likely): column densities follow the norms" in alone
    beside = CliRunner().invoke(command, [paths[0], "--layout", NAME, "--like", paths[1]]).output
    assert f"{NAME}: I2_S (certain): 100.00% of its codes are those of the other file" in beside


def test_tensor_that_is_not_i2_s_is_refused() -> None:
    model = open_model(bundled_model("bitnet", "TQ2_0"))
    with pytest.raises(BadInput, match="is no I2_S tensor"):
        layout_evidence(model, NAME)
