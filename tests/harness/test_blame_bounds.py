"""Bounds hold for float32 arithmetic done in the least favourable order, and not by orders of magnitude."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitparity.blame.bisect import record_session
from bitparity.blame.bounds import U, allowed_error, sum_error
from bitparity.blame.engines import judge_engine
from bitparity.compare.chunking import Chunking
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.registry import get_engine
from bitparity.stages import StageFilter


def sum_one_by_one(products: np.ndarray) -> np.ndarray:
    """Add float32 products along the first axis, each sum rounded to float32."""
    total = np.zeros(products.shape[1:], np.float32)
    for row in products:
        total = total + row
    return total


@pytest.mark.parametrize("k", [2, 64, 256, 6912])
@pytest.mark.parametrize("mean", [0.0, 1.0], ids=["signs cancel", "one sign"])
def test_sum_error_bounds_a_sequential_float32_sum(k: int, mean: float) -> None:
    rng = np.random.default_rng(k)
    a, b = (rng.normal(mean, 1, (k, 4000)).astype(np.float32) for _ in range(2))
    exact = np.sum(a.astype(np.float64) * b, axis=0)
    terms = np.sqrt(np.sum((a.astype(np.float64) * b) ** 2, axis=0))
    error = np.abs(sum_one_by_one(a * b) - exact)
    allowed = sum_error(k, terms, exact)
    assert (error <= allowed).all()
    # a bound that nothing comes near judges nothing: the worst of 4000 sums is within a factor of 20
    assert (error > allowed / 20).any()


def test_sum_error_sees_one_term_left_out() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 256, 1000))
    terms, exact = np.sqrt(np.sum((a * b) ** 2, axis=0)), np.sum(a * b, axis=0)
    left_out = np.abs(a[0] * b[0])
    seen = left_out > sum_error(256, terms, exact)
    # the bound is about 1e-6 of a sum, a term is 1/16 of it: only terms that are themselves tiny escape
    assert seen.mean() > 0.999


def test_sum_error_grows_with_the_square_root_of_the_length() -> None:
    ratio = sum_error(400, np.ones(1), np.zeros(1)) / sum_error(100, np.ones(1), np.zeros(1))
    np.testing.assert_allclose(ratio, 2)


def test_fused_and_unfused_codes_differ_by_one_near_ties_only() -> None:
    """Why a row that only the other reading explains is not guilty."""
    x = np.random.default_rng(0).normal(size=(2000, 512)).astype(np.float32)
    codes, s = ops.quantise_per_token(x)
    fused, _ = ops.quantise_per_token(x, fused=True)
    differ = codes != fused
    assert np.abs(codes.astype(int) - fused).max() <= 1
    scaled = (x.astype(np.float64) * s)[differ]
    from_tie = np.abs(np.abs(scaled - np.floor(scaled)) - 0.5)
    assert (from_tie <= U * np.abs(scaled)).all()
    assert differ.mean() < 1e-4


@pytest.mark.parametrize("rounding", ops.ROUNDERS)
def test_a_scale_that_was_computed_otherwise_moves_codes_at_borders_only(rounding: str) -> None:
    """PyTorch multiplies 127 by the inverse of the largest value; its codes there are no mistake."""
    x = np.random.default_rng(1).normal(size=(20000, 256)).astype(np.float32)
    inverse = np.float32(1) / np.max(np.abs(x), axis=1, keepdims=True)
    s = inverse * np.float32(127)
    torch = ops.ROUNDERS[rounding]((x * s).astype(np.float64)).clip(-128, 127) / s
    quantiser = ops.Quantiser(rounding=rounding)
    values, steps = quantiser(x), quantiser.steps_at_ties(x)
    assert (np.abs(values - torch) > 1e-3 * np.abs(values)).any()
    assert (np.abs(values - torch) <= 1.001 * steps + 2 * 2.0**-23 * np.abs(values)).all()
    largest = np.abs(x) == np.max(np.abs(x), axis=1, keepdims=True)  # cut off, 127 or a rounding less
    assert np.count_nonzero(steps[~largest]) < 1e-4 * steps.size
    assert not ops.Quantiser(0).steps_at_ties(x[:2]).any()


def test_embeddings_times_an_irrational_root_of_the_width_are_rounded(tmp_path: Path) -> None:
    spec = ModelSpec("gemma3", n_layer=1, n_embd=512, n_vocab=320, sliding_window=8)
    make_model(tmp_path / "model.gguf", spec)
    model = open_model(tmp_path / "model.gguf")
    session = get_engine("native").open(model.path, context=8, threads=1)
    only = StageFilter.parse("-1:embeddings")
    evidence = record_session(session, model, [1, 2, 3], Chunking("prefill"), only)
    judged = judge_engine(model, evidence, tokens=[1, 2, 3])
    assert [stage.stage for stage in judged.stages] == ["embeddings"]
    assert 0 < judged.stages[0].excess <= 1


def test_silu_of_which_the_exponential_overflows_is_allowed_to_be_zero(tmp_path: Path) -> None:
    make_model(tmp_path / "model.gguf", ModelSpec(n_layer=1, n_ff=256, n_vocab=320))
    definition = Definition.of(open_model(tmp_path / "model.gguf"))
    gate, up = np.linspace(-200, 20, 256, dtype=np.float32)[None], np.full((1, 256), 1e6, np.float32)
    with np.errstate(over="ignore"):
        actual = gate / (1 + np.exp(-gate)) * up
    inputs = {"ffn_gate": gate.astype(np.float64), "ffn_up": up.astype(np.float64)}
    expected = ops.silu(inputs["ffn_gate"]) * inputs["ffn_up"]
    assert (np.abs(expected[actual == 0]) > 1e-32).any()
    allowed = allowed_error(definition, "ffn_act", Place(0, np.array([0]), 1), inputs, expected)
    assert (np.abs(actual - expected) <= allowed).all()
    assert (np.abs(expected * (1 + 1e-4) - expected)[gate > -70] > allowed[gate > -70]).all()
