"""Formats that native repacks when it opens a model give what the format that they become gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.arithmetic import LLAMA_CPP
from bitparity.oracle.engine import OracleEngine
from bitparity_native.engine import NativeEngine
from rewrite import rewrite

TOKENS = [5, 17, 3, 200]


@pytest.fixture(params=[False, True], ids=["own head", "tied"])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A model in Q2_0 of blocks of 128 with such an embedding, and what `quantize` makes of it."""
    spec = ModelSpec("qwen3", n_vocab=300, weight_format="F16", head_format="F16", tied=request.param)
    make_model(tmp_path / "f16.gguf", spec)
    model = open_model(tmp_path / "f16.gguf")
    formats = {t.name: "Q2_0_G128" for t in model.tensors.values() if len(t.shape) == 2}
    in_128 = rewrite(tmp_path / "f16.gguf", tmp_path / "128.gguf", formats=formats)
    convert(in_128, tmp_path / "64.gguf", "Q2_0", head_format="Q2_0")
    return in_128, tmp_path / "64.gguf"


def test_q2_0_of_either_block_gives_the_same_logits(files: tuple[Path, Path]) -> None:
    in_128, in_64 = files
    assert "Q2_0_G128" in open_model(in_128).format_counts()
    assert "Q2_0_G128" not in open_model(in_64).format_counts()
    expected, actual = (NativeEngine().open(f, context=64, threads=1).prefill(TOKENS) for f in files)
    np.testing.assert_array_equal(actual, expected)


def test_oracle_multiplies_blocks_of_128_as_their_halves(files: tuple[Path, Path]) -> None:
    oracle = OracleEngine(LLAMA_CPP)
    expected, actual = (oracle.open(f, context=64, threads=1).prefill(TOKENS) for f in files)
    np.testing.assert_array_equal(actual, expected)
