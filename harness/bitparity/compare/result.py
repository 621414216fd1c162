"""The result of a comparison as data: saved as JSON, read back, judged again, or turned into a DataFrame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitparity.compare.metrics import PositionMetrics
from bitparity.errors import BadInput
from bitparity.noise.criterion import Criterion, MeasuredNoise
from bitparity.noise.floor import NoiseFloor
from bitparity.noise.shift import Shift, find_shift
from bitparity.noise.verdict import PositionVerdict, Verdict, exit_code, judge_position, judge_run
from bitparity.output import with_nan, without_nan, write_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 3  # of the JSON; read_result refuses another
# Fields that are the same in the JSON and in the result: plain values, objects, and objects or null.
_PLAIN = ("chunks", "exit_code", "criterion", "failure", "unfinished", "seconds", "command")
_OBJECTS = ("reference", "candidate", "limits")
_OBJECTS_OR_NULL = ("explanation", "noise_floor", "blame")


@dataclass(frozen=True)
class ModelFile:
    path: str
    blake3: str


@dataclass(frozen=True)
class PromptSpan:
    """Where a prompt's positions lie in the result: `asked` of them were wanted from row `first`."""

    text: str | None
    first: int
    asked: int
    generated: int  # how many of the last are the reference's own continuation


@dataclass(frozen=True, slots=True)
class PositionResult:
    """One row: prompt is an index into the spans, token the id fed at position."""

    prompt: int
    position: int
    token: int
    metrics: PositionMetrics
    judged: PositionVerdict

    @property
    def has_diverged(self) -> bool:
        return self.judged.verdict is Verdict.DIVERGED


@dataclass(frozen=True)
class ComparisonResult:
    """Everything that a comparison found.

    reference, candidate   fingerprints, as dicts
    chunks                 how the tokens were cut, see chunking.py
    required               the least verdict that passes
    explanation            what both engines were found to compute, None when they agree or nobody looked
    noise_floor            as the noise measurement states it, None when it was not measured
    failure                what an engine did that ended the run early, in a clause
    unfinished             what else could not be measured or judged, and why, in a clause
    blame                  what blame/engines.py found, None when not asked
    seconds                that the run took from opening the engines on, noise and stages included
    command                the command that repeats the run
    compared               what of each position was compared, in a clause; empty for the logits of all tokens
    findings               of the checks of the model files, as dicts (model/checks/finding.py)
    resolution             what the run could not have seen (fit/resolution.py); None where all that passes
                           agrees, or the oracle was not asked
    made                   where, when and by which bitparity, as a dict (provenance.py)
    pieces                 the text of every token id that the result names, by the id in decimal digits;
                           empty where the vocabulary is not known
    """

    model: ModelFile
    candidate_model: ModelFile
    reference: Mapping[str, Any]
    candidate: Mapping[str, Any]
    chunks: str
    prompts: tuple[PromptSpan, ...]
    positions: tuple[PositionResult, ...]
    verdict: Verdict
    exit_code: int
    criterion: str
    limits: Mapping[str, Any]
    required: Verdict = Verdict.NOISE
    explanation: Mapping[str, Any] | None = None
    noise_floor: Mapping[str, Any] | None = None
    failure: str | None = None
    unfinished: str | None = None
    blame: Mapping[str, Any] | None = None
    seconds: float = 0.0
    command: str = ""
    findings: tuple[Mapping[str, Any], ...] = ()
    compared: str = ""
    resolution: Mapping[str, Any] | None = None
    pieces: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        return sum(span.asked for span in self.prompts)

    @property
    def first_divergence(self) -> PositionResult | None:
        return next((row for row in self.positions if row.has_diverged), None)

    @property
    def judged_prompt(self) -> int:
        """The prompt whose stages are judged."""
        return prompt_to_judge(self.positions)

    def counts(self) -> dict[str, int]:
        """How many positions were asked for, how many have a verdict, and how many each verdict."""
        verdicts = [row.judged.verdict for row in self.positions]
        return {
            "asked": self.asked,
            "compared": len(verdicts) - verdicts.count(Verdict.NOT_COMPARED),
            "agree": verdicts.count(Verdict.AGREE),
            "explained": verdicts.count(Verdict.EXPLAINED),
            "noise": verdicts.count(Verdict.NOISE),
            "diverged": verdicts.count(Verdict.DIVERGED),
            "argmax_flips": sum(not row.metrics.argmax_equal for row in self.positions),
            "near_ties": sum(row.judged.is_near_tie for row in self.positions),
        }

    def judged_by(self, criterion: Criterion) -> ComparisonResult:
        """The same measurements under another criterion; no engine is needed."""
        rows = tuple(replace(row, judged=judge_position(row.metrics, criterion)) for row in self.positions)
        verdict = judge_run(
            (row.judged for row in rows),
            asked=self.asked,
            criterion=criterion,
            an_engine_failed=self.failure is not None,
            a_stage_is_wrong=self._something_is_wrong(),
            is_unfinished=self.unfinished is not None,
            is_shifted=isinstance(criterion, MeasuredNoise) and self._is_shifted(),
        )
        return replace(
            self,
            positions=rows,
            verdict=verdict,
            exit_code=exit_code(verdict, (row.metrics for row in rows), self.required),
            criterion=criterion.describe(),
            limits=criterion.as_dict(),
        )

    def shift(self) -> Shift | None:
        """How far all positions together are beyond the reference's noise; None where it was not measured."""
        if self.noise_floor is None:
            return None
        distances = [row.metrics.relative_l2 for row in self.positions]
        return find_shift(distances, NoiseFloor.from_dict(dict(self.noise_floor)))

    def _is_shifted(self) -> bool:
        is_explained = self.explanation is not None and self.explanation["holds"]
        shift = None if is_explained else self.shift()
        return shift is not None and shift.is_a_divergence

    def _something_is_wrong(self) -> bool:
        named = self.explanation is not None and self.explanation["names_a_mistake"]
        return bool(named or (self.blame is not None and self.blame["guilty"]))

    def to_frame(self) -> pd.DataFrame:
        """One row a position, columns as the keys of `positions` in the JSON."""
        import pandas as pd

        return pd.DataFrame([row_as_dict(row) for row in self.positions])

    def as_dict(self) -> dict[str, Any]:
        """What the JSON holds; a value that is not finite is null."""
        first = self.first_divergence
        data = {
            "format": FORMAT,
            "verdict": self.verdict.value,
            "exit_code": self.exit_code,
            "model": asdict(self.model),
            "candidate_model": asdict(self.candidate_model),
            "reference": dict(self.reference),
            "candidate": dict(self.candidate),
            "chunks": self.chunks,
            "prompts": [asdict(span) for span in self.prompts],
            "tokens": [row.token for row in self.positions],
            "positions": [row_as_dict(row) for row in self.positions],
            "first_divergence": None if first is None else row_as_dict(first),
            "criterion": self.criterion,
            "limits": dict(self.limits),
            "required": self.required.value,
            "explanation": None if self.explanation is None else dict(self.explanation),
            "noise_floor": None if self.noise_floor is None else dict(self.noise_floor),
            "compared": self.counts(),
            "failure": self.failure,
            "unfinished": self.unfinished,
            "resolution": None if self.resolution is None else dict(self.resolution),
            "blame": None if self.blame is None else dict(self.blame),
            "seconds": self.seconds,
            "command": self.command,
            "compared_part": self.compared,
            "findings": [dict(finding) for finding in self.findings],
            "pieces": dict(self.pieces),
            "made": dict(self.made),
        }
        plain: dict[str, Any] = without_nan(data)
        return plain

    def save(self, path: Path) -> None:
        """Raises BadInput when the file cannot be written."""
        write_json(path, self.as_dict())


def read_result(path: Path) -> ComparisonResult:
    """Read what `save` wrote; raises BadInput for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"{path} is not JSON; it must come from `bitparity compare --json`") from None
    return parse_result(text, str(path))


def parse_result(text: str, path: str) -> ComparisonResult:
    """The result that a JSON text holds; `path` says in errors where it comes from.  Raises BadInput."""
    try:
        data = json.loads(text)
    except ValueError:
        raise BadInput(f"{path} is not JSON; it must come from `bitparity compare --json`") from None
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise BadInput(
            f"{path} has result format {found!r}, not {FORMAT}; make it again with `bitparity compare --json`"
        )
    try:
        return _from_dict(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{path} is no whole result ({type(error).__name__}: {error}); "
            "make it again with `bitparity compare --json`"
        ) from None


def prompt_to_judge(rows: Iterable[PositionResult]) -> int:
    """The prompt that diverged first, or the first one: the stages of one prompt are judged."""
    return next((row.prompt for row in rows if row.has_diverged), 0)


def row_as_dict(row: PositionResult) -> dict[str, Any]:
    """One position, flat."""
    return {
        "prompt": row.prompt,
        "position": row.position,
        "token": row.token,
        **asdict(row.metrics),
        "argmax_equal": row.metrics.argmax_equal,
        "verdict": row.judged.verdict.value,
        "near_tie": row.judged.is_near_tie,
        "reason": row.judged.reason,
    }


def _from_dict(data: dict[str, Any]) -> ComparisonResult:
    same: dict[str, Any] = {name: data[name] for name in _PLAIN}
    same |= {name: dict(data[name]) for name in _OBJECTS}
    same |= {name: None if data[name] is None else dict(data[name]) for name in _OBJECTS_OR_NULL}
    return ComparisonResult(
        model=ModelFile(**data["model"]),
        candidate_model=ModelFile(**data["candidate_model"]),
        prompts=tuple(PromptSpan(**span) for span in data["prompts"]),
        positions=tuple(_row_from_dict(row) for row in data["positions"]),
        verdict=Verdict(data["verdict"]),
        required=Verdict(data["required"]),
        findings=tuple(data.get("findings", ())),
        compared=data.get("compared_part", ""),
        pieces=dict(data.get("pieces", {})),
        resolution=data.get("resolution"),
        made=dict(data.get("made", {})),
        **same,
    )


def _row_from_dict(row: dict[str, Any]) -> PositionResult:
    values = with_nan({f.name: row[f.name] for f in fields(PositionMetrics)})
    judged = PositionVerdict(Verdict(row["verdict"]), row["reason"], row["near_tie"])
    return PositionResult(row["prompt"], row["position"], row["token"], PositionMetrics(**values), judged)
