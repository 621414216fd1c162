"""Shrunk twins of published models, with their files' metadata, on every reference that runs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.model import open_model
from bitparity.model.checks import Severity, check_model
from bitparity.model.presets import PUBLISHED, shrunk
from bitparity.model.synthetic import make_model
from bitparity.noise.verdict import Verdict
from bitparity.pytest_plugin import require_engine
from bitparity.registry import get_engine
from bitparity.settings import read_settings

_TEXT = "It's 2026: 12345 sets,\n  or is it?"
_FORMATS = {"bitnet.cpp": "I2_S", "llama.cpp": "TQ2_0"}
# What differs in anything but sizes: the architecture, the kind of vocabulary, its pre-tokenizer, the head.
_KINDS = {
    (row.spec.arch, row.spec.vocabulary, row.spec.tied, row.spec.head_copied, row.spec.norm_eps): name
    for name, row in PUBLISHED.items()
}


@dataclass(frozen=True)
class Case:
    reference: str
    name: str

    def __str__(self) -> str:
        return f"{self.reference}-{self.name}"


def every_case() -> list[Case]:
    """Every kind of published model on every reference that has its architecture."""
    return [
        Case(reference, name)
        for reference, weight_format in _FORMATS.items()
        for name in _KINDS.values()
        if get_engine(reference).refusal(PUBLISHED[name].spec.arch, {weight_format, "F16", "F32"}) is None
    ]


@pytest.mark.parametrize("case", every_case(), ids=str)
def test_published_model_agrees_on_text_with_every_stage_sound(
    case: Case, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    reference = require_engine(pytestconfig, case.reference)
    weight_format = _FORMATS[case.reference]
    make_model(tmp_path / "m.gguf", replace(shrunk(PUBLISHED[case.name].spec), weight_format=weight_format))
    model = open_model(tmp_path / "m.gguf")
    stops = [f for f in check_model(model, engines=[case.reference]) if f.severity is Severity.STOP]
    cut_otherwise = case.reference == "llama.cpp" and "falcon" in str(
        model.metadata.get("tokenizer.ggml.pre")
    )
    if stops:
        assert "falcon_e" in stops[0].sentence  # which upstream does not know
        return
    prompt = Prompt(tokens=tuple(range(5, 15))) if cut_otherwise else Prompt(text=_TEXT)
    result = compare_engines(
        Comparison(
            reference=Side(reference, model),
            candidate=Side(get_engine("native"), model),
            prompts=[prompt],
            settings=read_settings(),
            chunking=Chunking.parse("mixed"),
            threads=1,
        ),
        blame=True,
    )
    assert result.blame is not None
    assert not result.blame["guilty"], result.blame["sentence"]
    assert result.verdict is Verdict.AGREE
