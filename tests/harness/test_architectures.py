"""The architectures as data: every list is a graph that can be evaluated, and says what the tables need."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES, architecture_named
from bitparity.architectures.graph import CACHES, Architecture, Kind
from bitparity.architectures.llama import LLAMA
from bitparity.blame.bounds import _BOUNDS
from bitparity.engine import Floats
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.hyperparameters import read_hyperparameters
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.weights import map_weights
from bitparity.oracle.engine import OracleEngine
from bitparity.stages import STAGE_NAMES, StageFilter, stage_named

EACH = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=list(ARCHITECTURES))


@EACH
def test_inputs_come_before_the_stage_that_reads_them(architecture: Architecture) -> None:
    made = {"tokens", "block_input"}
    for stage in architecture.stages:
        assert made.issuperset(stage.inputs), stage
        made |= {stage.name, *(cache for cache, fills in CACHES.items() if fills == stage.name)}


@EACH
def test_stages_are_in_the_order_of_the_vocabulary(architecture: Architecture) -> None:
    ranks = [STAGE_NAMES.index(stage.name) for stage in architecture.stages]
    assert ranks == sorted(set(ranks))


@EACH
def test_every_weight_of_a_block_is_read_by_one_stage_and_fits_it(architecture: Architecture) -> None:
    readers = {stage.weight: stage for stage in architecture.block if stage.weight}
    assert list(readers) == [weight.role for weight in architecture.weights]
    for weight in architecture.weights:
        stage = readers[weight.role]
        assert len(weight.axes) == {"norm": 1, "projection": 2}[stage.kind]
        if stage.kind == "projection":
            assert weight.axes[0] == stage_named(stage.name).axes[0]
            before = stage_named(stage.inputs[0])
            assert weight.axes[1] == before.axes[0]


@EACH
def test_the_ends_of_the_graph_are_those_of_every_decoder(architecture: Architecture) -> None:
    names = [stage.name for stage in architecture.stages]
    assert (names[0], names[-2:]) == ("embeddings", ["final_norm", "logits"])
    assert architecture.block[-1].name == "layer_out"


@EACH
def test_the_nodes_of_references_are_of_the_stages_that_there_are(architecture: Architecture) -> None:
    for reference, table in architecture.nodes.items():
        assert set(table) == set(architecture.by_name), reference


def test_every_kind_has_a_bound() -> None:
    assert set(_BOUNDS) == set(get_args(Kind))


def test_bitnet_without_its_inner_norms_is_llama() -> None:
    bitnet = architecture_named("bitnet")
    assert [norm.name for norm in bitnet.inner_norms] == ["attn_sub_norm", "ffn_sub_norm"]
    bare = bitnet.without(bitnet.inner_norms)
    assert (bare.stages, bare.weights) == (LLAMA.stages, LLAMA.weights)


def test_branches_end_in_the_projections_that_are_added_to_the_stream() -> None:
    assert LLAMA.branch_ends == ("attn_out", "down")


def test_unknown_architecture_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(BadInput, match=r"'gpt2' is none of bitnet, bitnet-25, bitnet-b1\.58, llama"):
        architecture_named("gpt2")


@pytest.mark.parametrize("arch", ["qwen3", "qwen3-bitnet", "gemma3", "gemma3-bitnet"])
def test_norms_before_projections_are_found_by_their_tensors(tmp_path: Path, arch: str) -> None:
    path = tmp_path / "model.gguf"
    make_model(path, ModelSpec(arch, n_layer=1, key_length=32))
    model = open_model(path)
    assert model.hyper.arch == arch
    assert f"{model.metadata['general.architecture']}-bitnet".startswith(arch)
    assert model.hyper.head_dim == 32


def test_norms_before_projections_stand_before_each_of_the_seven() -> None:
    graph = architecture_named("qwen3-bitnet")
    projections = [s for s in graph.block if s.kind == "projection"]
    assert len(projections) == 7
    for projection in projections:
        (norm,) = (graph.by_name[name] for name in projection.inputs)
        plain = architecture_named("qwen3").by_name[projection.name]
        assert (norm.kind, norm.inputs) == ("norm", plain.inputs)


def test_a_missing_norm_before_a_projection_is_missed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    make_model(path, ModelSpec("qwen3-bitnet", n_layer=1))
    tensors = dict(open_model(path).tensors)
    del tensors["blk.0.ffn_up_norm_in.weight"]
    hyper = read_hyperparameters(open_model(path).metadata, tensors)
    with pytest.raises(BadInput, match=r"blk\.0\.ffn_up_norm_in\.weight"):
        map_weights(hyper, tensors)


def test_pooled_is_the_direction_of_the_final_norm(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.gguf"
    make_model(path, ModelSpec("qwen3-bitnet", n_layer=1, pooling_type=3))
    recorded: dict[str, Floats] = {}
    session = OracleEngine().open(path, context=8, threads=1)
    with session.tap(StageFilter.parse("final_norm,pooled"), lambda v: recorded.update({v.stage: v.values})):
        session.prefill([1, 2, 3])
    final, pooled = recorded["final_norm"], recorded["pooled"]
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.sum(pooled * final, axis=1), np.linalg.norm(final, axis=1), rtol=1e-6)
    make_model(path, ModelSpec("qwen3-bitnet", n_layer=1))
    assert "pooled" not in open_model(path).hyper.architecture.by_name
