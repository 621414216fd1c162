"""What was found on a corpus, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bitparity.compare.result import ModelFile
from bitparity.corpus.estimate import Estimate
from bitparity.corpus.layers import LayerDifference
from bitparity.noise.verdict import Verdict
from bitparity.output import without_nan, write_json

FORMAT = 1  # of the JSON


@dataclass(frozen=True)
class CorpusText:
    """The corpus and how it was cut: file, BLAKE3 of its ids, tokens and windows."""

    path: str
    ids_blake3: str
    tokens: int
    windows: int
    window: int
    stride: int


@dataclass(frozen=True)
class WorstPosition:
    """A position that is among the worst; `target` follows `token`, delta_p is as in figures.py."""

    window: int
    position: int
    token: int
    target: int
    kl: float
    relative_l2: float
    delta_p: float
    verdict: str
    reason: str


@dataclass(frozen=True)
class CorpusResult:
    """Everything that was found.

    reference, candidate  fingerprints, as dicts
    counts       positions: asked, compared, and how many of each verdict
    figures      name -> estimate, see figures.py; empty when nothing was compared
    worst        positions with the largest KL, the worst first
    first_divergence  the first position that diverged
    layers       how far the layers are apart in the window of the worst one
    explanation, noise_floor, criterion   as in ComparisonResult, found on that window
    failure, unfinished   as in ComparisonResult
    blame        of that window, None when not asked
    made         where, when and by which bitparity (provenance.py)
    """

    corpus: CorpusText
    model: ModelFile
    candidate_model: ModelFile
    reference: Mapping[str, Any]
    candidate: Mapping[str, Any]
    chunks: str
    verdict: Verdict
    required: Verdict
    exit_code: int
    criterion: str
    counts: Mapping[str, int]
    figures: Mapping[str, Estimate]
    worst: tuple[WorstPosition, ...]
    first_divergence: WorstPosition | None
    layers: tuple[LayerDifference, ...]
    explanation: Mapping[str, Any] | None = None
    noise_floor: Mapping[str, Any] | None = None
    blame: Mapping[str, Any] | None = None
    failure: str | None = None
    unfinished: str | None = None
    seconds: float = 0.0
    command: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """What the JSON holds; a value that is not finite is null."""
        data = {"format": FORMAT, **asdict(self)}
        data |= {"verdict": self.verdict.value, "required": self.required.value}
        plain: dict[str, Any] = without_nan(data)
        return plain

    def save(self, path: Path) -> None:
        """Raises BadInput when the file cannot be written."""
        write_json(path, self.as_dict())
