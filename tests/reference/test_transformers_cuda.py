"""transformers on a CUDA device: judged by the same arithmetic as on the CPU, on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.blame.bisect import record_session
from bitparity.blame.engines import judge_engine
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.engine import Fingerprint, ModelInfo, Session
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.noise.verdict import Verdict
from bitparity.oracle.engine import OracleEngine
from bitparity.settings import read_settings
from bitparity.stages import StageFilter
from bitparity_reference.transformers.engine import TransformersEngine
from bitparity_reference.transformers.session import open_transformers
from checkpoint_files import Style, write_checkpoint

torch = pytest.importorskip("torch", reason="transformers runs on torch, which is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
if not torch.cuda.is_available():
    pytest.skip("torch finds no CUDA device", allow_module_level=True)

TOKENS = [(37 * i + 11) % 320 for i in range(20)]
ModelFile = Callable[..., Path]
MODELS = [
    {"arch": "bitnet", "weight_format": "I2_S"},
    {"arch": "llama", "weight_format": "Q4_1"},
    {"arch": "qwen3", "weight_format": "BF16", "rope_scaling": "yarn", "rope_factor": 4.0},
    {"arch": "qwen3-bitnet", "weight_format": "I2_S"},
    {"arch": "gemma3", "weight_format": "F16", "sliding_window": 8, "n_layer": 7},
]


def opened_on_device(model: Model) -> Session:
    """A session in this process, which has imported torch once for all tests."""
    fingerprint = Fingerprint("transformers", "", "", "", "eager", 1, "f32")
    info = ModelInfo.of(model, 64, fingerprint)
    return open_transformers(model.path, threads=1, info=info, device_id=0)


def assert_sound(model: Model, session: Session) -> None:
    evidence = record_session(session, model, TOKENS, Chunking.parse("mixed"), StageFilter.parse("*:*"))
    judged = judge_engine(model, evidence, tokens=TOKENS)
    assert not judged.sentence()
    assert (judged.absent, judged.not_judged) == ((), ())


@pytest.mark.parametrize("fields", MODELS, ids=lambda f: f"{f['arch']}-{f['weight_format']}")
def test_every_stage_is_sound_on_a_device(model_file: ModelFile, fields: dict[str, object]) -> None:
    model = open_model(model_file(n_vocab=320, **fields))
    session = opened_on_device(model)
    assert session.info.fingerprint.details["device"].startswith("cuda:0, ")
    assert session.info.fingerprint.isa.startswith("sm_")
    assert_sound(model, session)


@pytest.mark.parametrize("style", ["packed", "inverse", "mean"])
def test_a_checkpoint_is_sound_on_a_device(model_file: ModelFile, tmp_path: Path, style: Style) -> None:
    source = model_file(arch="bitnet", weight_format="I2_S", n_vocab=320)
    model = open_model(write_checkpoint(tmp_path / "checkpoint", source, style))
    assert_sound(model, opened_on_device(model))


def test_the_same_bits_come_again(model_file: ModelFile) -> None:
    session = opened_on_device(open_model(model_file(arch="bitnet", weight_format="F16", n_vocab=320)))
    first = session.prefill(TOKENS)
    session.rollback(0)
    np.testing.assert_array_equal(session.prefill(TOKENS), first)


def test_a_device_is_compared_with_an_engine_on_the_cpu(model_file: ModelFile) -> None:
    model = open_model(model_file(arch="bitnet", weight_format="I2_S", n_vocab=320))
    sides = Side(TransformersEngine(), model, device_id=0), Side(OracleEngine(), model)
    chunking = Chunking.parse("decode")
    asked = Comparison(*sides, [Prompt(tokens=tuple(TOKENS))], read_settings({}), chunking=chunking)
    result = compare_engines(asked)
    assert result.verdict in (Verdict.AGREE, Verdict.EXPLAINED)
