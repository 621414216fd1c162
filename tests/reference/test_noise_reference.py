"""The noise floor on real engines: a reference never diverges from itself, whatever a fixed limit says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.compare.chunking import Chunking
from bitparity.compare.metrics import PositionMetrics, compare_logits
from bitparity.compare.positions import logits_by_position
from bitparity.model import open_model
from bitparity.noise.criterion import FixedLimit, MeasuredNoise
from bitparity.noise.measure import measure_noise
from bitparity.noise.perturb import STEPS
from bitparity.noise.verdict import Verdict, judge_position, judge_run
from bitparity.runs import open_session
from bitparity.settings import read_settings
from bitparity.stages import StageFilter
from bitparity.trace import MemoryTrace
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.llama_engine import LlamaEngine

TOKENS = [(97 * i + 5) % 512 for i in range(40)]


def prefill_against_decode(engine: LlamaEngine, path: Path) -> list[PositionMetrics]:
    first = engine.open(path, context=64, threads=1)
    second = engine.open(path, context=64, threads=1)
    rows = zip(
        logits_by_position(first, TOKENS, Chunking("prefill")),
        logits_by_position(second, TOKENS, Chunking("decode")),
        strict=True,
    )
    measured = [compare_logits(expected, actual) for expected, actual in rows]
    first.close()
    second.close()
    return measured


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_does_not_diverge_from_itself_by_its_measured_floor(
    engine: LlamaEngine, model_file: Callable[..., Path], seed: int
) -> None:
    """It differs by noise, or not at all: how the build at hand adds decides that."""
    weight_format = "I2_S" if isinstance(engine, BitnetCppEngine) else "TQ2_0"
    path = model_file(arch="bitnet", weight_format=weight_format, n_layer=4, seed=seed)
    model, settings = open_model(path), read_settings()
    with open_session(engine, model, context=64, settings=settings, threads=1) as session:
        floor = measure_noise(session, engine, model, TOKENS, settings=settings, threads=1)
    criterion = MeasuredNoise(floor)
    measured = prefill_against_decode(engine, path)
    verdict = judge_run(
        [judge_position(m, criterion) for m in measured], asked=len(TOKENS), criterion=criterion
    )
    assert verdict in (Verdict.AGREE, Verdict.NOISE)


@pytest.mark.parametrize("engine", ["bitnet.cpp"], indirect=True)
def test_bitnet_cpp_against_itself_fails_the_customary_limit(
    engine: LlamaEngine, model_file: Callable[..., Path]
) -> None:
    """On a random model of four layers; that is why the floor is measured."""
    path = model_file(arch="bitnet", weight_format="I2_S", n_layer=4, seed=0)
    limit = FixedLimit(1e-4)
    assert any(not limit.agrees(m) for m in prefill_against_decode(engine, path))


def test_perturbed_reference_moves_what_its_norms_give_by_a_few_float32_steps(
    engine: LlamaEngine, model_file: Callable[..., Path]
) -> None:
    path = model_file(arch="bitnet", weight_format="F32", n_layer=2)
    runs = []
    for each in (engine, engine.perturbed(0), engine.perturbed(0)):
        trace = MemoryTrace(each.name)
        session = each.open(path, context=64, threads=1)
        with session.tap(StageFilter.parse("0:attn_norm,0:q_proj,-1:embeddings"), trace):
            logits = session.prefill(TOKENS)
        runs.append((trace, logits))
        session.close()
    (sound, expected), (moved, actual), (_, again) = runs
    for position in range(len(TOKENS)):
        assert (sound.value(-1, "embeddings", position) == moved.value(-1, "embeddings", position)).all()
        before, after = (t.value(0, "attn_norm", position).view(np.int32) for t in (sound, moved))
        assert set(after - before) == {STEPS, -STEPS}
    assert (sound.value(0, "q_proj", 3) != moved.value(0, "q_proj", 3)).any()
    assert (expected != actual).any()
    assert (again == actual).all()
