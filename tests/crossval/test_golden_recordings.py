"""Native against what bitnet.cpp gave for the bundled models, without bitnet.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitparity.choose import choose_model
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.recording import RecordedEngine
from bitparity.compare.run import compare_engines
from bitparity.model import open_model
from bitparity.registry import get_engine
from bitparity.report.failure import explain
from bitparity.settings import read_settings

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDINGS = sorted(GOLDEN.glob("*.npz"))
LARGEST = 2_000_000  # bytes of all of them: what a repository may carry


@pytest.mark.parametrize("chunks", ["prefill", "decode", "mixed"])
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_native_matches_golden_recording(path: Path, chunks: str) -> None:
    reference, candidate = RecordedEngine(path), get_engine("native")
    model = open_model(choose_model(None, [reference, candidate]))
    comparison = Comparison(
        reference=Side(reference, model),
        candidate=Side(candidate, model),
        prompts=reference.recording.prompts(),
        settings=read_settings(),
        chunking=Chunking(chunks),
        threads=1,
        command=f"bitparity compare --reference {path} --chunks {chunks}",
    )
    result = compare_engines(comparison)
    assert result.exit_code == 0, explain(result)


def test_golden_recordings_are_of_references_and_small() -> None:
    assert RECORDINGS, "tests/golden holds no recording; its README says how they are made"
    assert {get_engine(RecordedEngine(path).name).role for path in RECORDINGS} == {"reference"}
    assert sum(path.stat().st_size for path in RECORDINGS) <= LARGEST
