"""Checkpoints from folder to verdict: a reference runs the file that `convert` writes, native the folder.

Both have the head as the checkpoint stores it, BF16, whose type decides how its input is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.model import open_model
from bitparity.model.checkpoint.convert import convert_checkpoint
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.synthetic_vocabulary import VocabularyKind
from bitparity.noise.verdict import Verdict
from bitparity.pytest_plugin import require_engine
from bitparity.registry import get_engine
from bitparity.settings import read_settings
from checkpoint_files import Style, write_checkpoint

_LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LLAMA3["original_max_position_embeddings"] = 64
SENTENCEPIECE = VocabularyKind("llama", pre="default")


@dataclass(frozen=True)
class Case:
    """A reference, the format that it gets, and what the checkpoint is."""

    reference: str
    weight_format: str
    spec: ModelSpec
    style: Style
    config: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.reference}-{self.spec.arch}-{self.style}-{self.weight_format}"


_NESTED = {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}
CASES = [
    Case("bitnet.cpp", "I2_S", ModelSpec("bitnet-b1.58", rope_base=500_000.0), "packed", _NESTED),
    Case("bitnet.cpp", "I2_S", ModelSpec("llama", tied=False), "inverse", {}),
    Case("llama.cpp", "BF16", ModelSpec("llama", tied=False), "dense", {"rope_scaling": _LLAMA3}),
    Case("llama.cpp", "BF16", ModelSpec("qwen3", key_length=32), "dense", {}),
    Case(
        "llama.cpp",
        "BF16",
        ModelSpec("gemma3", key_length=64, sliding_window=8, n_vocab=600, vocabulary=SENTENCEPIECE),
        "dense",
        {},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference_on_the_converted_file_agrees_with_native_on_the_checkpoint(
    case: Case, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    reference = require_engine(pytestconfig, case.reference)
    make_model(tmp_path / "source.gguf", case.spec)
    folder = write_checkpoint(
        tmp_path / "checkpoint", tmp_path / "source.gguf", case.style, config=case.config, shards=2
    )
    convert_checkpoint(folder, tmp_path / "model.gguf", case.weight_format, head_format="BF16")
    result = compare_engines(
        Comparison(
            reference=Side(reference, open_model(tmp_path / "model.gguf")),
            candidate=Side(get_engine("native"), open_model(folder)),
            prompts=[Prompt(text="It's 2026: 12345 sets,\n  or is it?")],
            settings=read_settings(),
        )
    )
    assert result.verdict is Verdict.AGREE
    assert result.counts()["compared"] > 10
