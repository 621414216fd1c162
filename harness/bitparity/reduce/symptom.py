"""What a divergence shows, and has to show again on whatever is smaller."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bitparity.blame.bisect import record_session
from bitparity.blame.engines import BlameReport, judge_of
from bitparity.blame.judge import Evaluation, Judge, LocalError
from bitparity.compare.comparison import Comparison, open_sides
from bitparity.compare.positions import compare_positions
from bitparity.compare.result import ComparisonResult
from bitparity.engine import Session
from bitparity.errors import BitparityError, EngineFailed
from bitparity.model.twin import in_formats_of
from bitparity.noise.criterion import DEFAULT_LIMIT, FixedLimit
from bitparity.noise.verdict import EXIT_CODES, Verdict, judge_position
from bitparity.report.words import headline
from bitparity.stages import StageFilter


class Symptom(Protocol):
    """What went wrong in a run of one prompt."""

    @property
    def prompt(self) -> int:
        """The prompt on which it shows."""
        ...

    @property
    def sentence(self) -> str:
        """What was said of it in the run that is made smaller."""
        ...

    @property
    def exit_code(self) -> int:
        """That `bitparity compare` ends with where it shows."""
        ...

    @property
    def needed_layers(self) -> tuple[int, ...]:
        """Layers that are never left out."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """Of `bitparity compare`, with which a run of it fails."""
        ...

    def likely_prompts(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        """Short parts of the tokens on which it may show, the shortest first."""
        ...

    def shows(self, comparison: Comparison) -> bool:
        """Whether it shows in a run; engines are opened and closed for it."""
        ...

    def moved(self, layers: Sequence[int]) -> Symptom:
        """The same in a model that has only these layers, numbered anew."""
        ...


@dataclass(frozen=True)
class WrongStage:
    """A stage that is wrong by its own inputs.

    role        of the engine that is wrong: "reference" or "candidate"; `engine` is its name
    sentence    what blame says of the engine
    """

    prompt: int
    role: str
    engine: str
    layer: int
    stage: str
    position: int
    sentence: str

    exit_code = EXIT_CODES[Verdict.DIVERGED]
    # A stage is wrong whatever the noise is, which is then not measured.
    options = ("--blame", "--limit", f"{DEFAULT_LIMIT:g}")

    @property
    def needed_layers(self) -> tuple[int, ...]:
        return () if self.layer < 0 else (self.layer,)

    def likely_prompts(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        return _up_to(self.position, tokens)

    def shows(self, comparison: Comparison) -> bool:
        try:
            return self.find(comparison) is not None
        except BitparityError:  # an engine that takes no such model or tokens shows something else
            return False

    def find(self, comparison: Comparison) -> Found | None:
        """The stage evaluated where it is wrong first, or None.  Raises what opening and running raise."""
        with open_sides(comparison) as sessions:
            judge = self._judge(comparison, sessions[self.role == "candidate"])
        errors = [e for e in judge.judge_stage(self.layer, self.stage) if isinstance(e, LocalError)]
        first = next((error for error in errors if error.is_guilty), None)
        return None if first is None else Found(judge, first)

    def _judge(self, comparison: Comparison, session: Session) -> Judge:
        meant = comparison.meant
        file = comparison.reference.model if self.role == "reference" else comparison.candidate.model
        tokens = tokens_of(comparison)
        stages = self._recorded(meant.hyper.n_layer)
        evidence = record_session(session, in_formats_of(file, meant), tokens, comparison.chunking, stages)
        return judge_of(meant, evidence, tokens)

    def _recorded(self, n_layer: int) -> StageFilter:
        """The stage's layer and what it takes from the one before."""
        before = (n_layer if self.layer < 0 else self.layer) - 1
        inputs = [f"{before}:layer_out"] if before >= 0 else []
        layer = f"{self.layer}:*" if self.layer >= 0 else "-1:final_norm,-1:logits"
        return StageFilter.parse(",".join(["-1:embeddings", layer, *inputs]))

    def moved(self, layers: Sequence[int]) -> WrongStage:
        return replace(self, layer=self.layer if self.layer < 0 else layers.index(self.layer))


@dataclass(frozen=True)
class Found:
    """A stage that was found wrong: its judge, and the error where it shows first."""

    judge: Judge
    error: LocalError

    def evaluation(self) -> Evaluation:
        """What the engine recorded there, with the stage's inputs and what the definition gives on them."""
        return self.judge.evaluate_at(self.error.layer, self.error.stage, self.error.position)


@dataclass(frozen=True)
class FarLogits:
    """Logits that are farther apart than a limit on 1 - cosine."""

    prompt: int
    position: int
    limit: float
    sentence: str

    exit_code = EXIT_CODES[Verdict.DIVERGED]
    needed_layers = ()

    @property
    def options(self) -> tuple[str, ...]:
        return ("--limit", f"{self.limit:.3g}")

    def likely_prompts(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        return _up_to(self.position, tokens)

    def shows(self, comparison: Comparison) -> bool:
        criterion = FixedLimit(float(f"{self.limit:.3g}"))
        try:
            with open_sides(comparison) as sessions:
                records = list(compare_positions(*sessions, tokens_of(comparison), comparison.chunking))
        except BitparityError:
            return False
        judged = (judge_position(record.metrics, criterion) for record in records)
        return any(verdict.verdict is Verdict.DIVERGED for verdict in judged)

    def moved(self, layers: Sequence[int]) -> FarLogits:
        return self


@dataclass(frozen=True)
class Failure:
    """An engine that crashes, hangs or raises.

    said   its words, without numbers, which change from run to run
    """

    prompt: int
    said: str
    sentence: str

    exit_code = EXIT_CODES[Verdict.ENGINE_FAILED]
    needed_layers = ()
    options = ()

    def likely_prompts(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        return [(tokens[-1],)]

    def shows(self, comparison: Comparison) -> bool:
        try:
            with open_sides(comparison) as sessions:
                for _ in compare_positions(*sessions, tokens_of(comparison), comparison.chunking):
                    pass
        except EngineFailed as error:
            return without_numbers(str(error)) == self.said
        except BitparityError:
            return False
        return False

    def moved(self, layers: Sequence[int]) -> Failure:
        return self


def find_symptom(result: ComparisonResult, report: BlameReport | None) -> Symptom | None:
    """What is to be kept of a run: a wrong stage, else logits that are too far, else an engine's failure."""
    guilty = [] if report is None else [e for e in (report.actual, report.expected) if e.is_guilty]
    if report is not None and any(engine.causes for engine in guilty):
        return _wrong_stage(result, report)
    if result.failure is not None:
        prompt = result.positions[-1].prompt if result.positions else 0
        return Failure(prompt, without_numbers(result.failure), result.failure)
    row = result.first_divergence
    if row is None and result.verdict is Verdict.DIVERGED:  # its logits, though near, are those of a mistake
        row = max(result.positions, key=lambda r: r.metrics.one_minus_cosine)
    if row is None:
        return None
    limit = result.limits.get("one_minus_cosine")
    measured = row.metrics.one_minus_cosine
    if limit is None or measured <= limit:
        limit = measured / 2 if measured > 0 else DEFAULT_LIMIT
    said = [engine.sentence() for engine in guilty]  # read from outside: no stage of it can be recorded
    sentence = "; ".join(said) or row.judged.reason or headline(result)
    return FarLogits(row.prompt, row.position, limit, sentence)


def _wrong_stage(result: ComparisonResult, report: BlameReport) -> WrongStage:
    role, side = ("candidate", report.actual) if report.actual.causes else ("reference", report.expected)
    cause = side.causes[0]
    return WrongStage(
        result.judged_prompt,
        role,
        side.engine,
        cause.local.layer,
        cause.local.stage,
        cause.local.position,
        side.sentence(),
    )


def _up_to(position: int, tokens: Sequence[int]) -> list[tuple[int, ...]]:
    """The token at a position, and all up to it; nothing where the tokens end before."""
    if position >= len(tokens):
        return []
    return [(tokens[position],), tuple(tokens[: position + 1])]


def tokens_of(comparison: Comparison) -> list[int]:
    """The ids of the one prompt of a comparison that is being made smaller."""
    (prompt,) = comparison.prompts
    assert prompt.tokens is not None
    return list(prompt.tokens)


def without_numbers(text: str) -> str:
    """A failure's words without numbers, addresses and the path of the model."""
    return re.sub(r"\S*/\S*|0x[0-9a-f]+|\d+", "…", text)
