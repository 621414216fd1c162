"""A comparison from beginning to end: one object holds the open sessions and all that is found with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from typing import Protocol

from bitparity.blame.bisect import blame_all
from bitparity.blame.engines import BlameReport, check_judged
from bitparity.compare.comparison import Comparison, Sessions, open_sides
from bitparity.compare.explaining import explain_run
from bitparity.compare.most_probable import what_is_compared
from bitparity.compare.noise import noise_of_reference
from bitparity.compare.outside import with_outside
from bitparity.compare.pieces import pieces_of
from bitparity.compare.positions import check_tokens, compare_positions
from bitparity.compare.prompts import tokenize
from bitparity.compare.result import (
    ComparisonResult,
    ModelFile,
    PositionResult,
    PromptSpan,
    prompt_to_judge,
)
from bitparity.compare.sample import Sample
from bitparity.errors import BadInput, BitparityError, EngineFailed
from bitparity.fit.explanation import Explanation, is_too_large, why_not
from bitparity.fit.resolution import Resolution, find_resolution
from bitparity.guard import guard
from bitparity.model.types import Model
from bitparity.noise.criterion import (
    MULTIPLE,
    Criterion,
    Exactness,
    ExplainedDifference,
    FixedLimit,
    MeasuredNoise,
    UnknownNoise,
)
from bitparity.noise.floor import Levels, NoiseFloor, largest
from bitparity.noise.shift import find_shift
from bitparity.noise.verdict import PositionVerdict, Verdict, exit_code, judge_position, judge_run
from bitparity.oracle.arithmetic import arithmetic_of
from bitparity.provenance import Provenance
from bitparity.runs import file_digest, tracing
from bitparity.streaming import Decoder
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.gguf_pieces import GgufPieces
from bitparity.tokenizer.tokenizer import Detokenizer


class Progress(Protocol):
    """Called with how many positions are done and of how many, or with steps of other work and its name."""

    def __call__(self, done: int, total: int, other: str | None = None) -> None: ...


def compare_engines(
    comparison: Comparison,
    *,
    limit: float | None = None,
    blame: bool = False,
    on_blame: Callable[[BlameReport], None] | None = None,
    on_result: Callable[[ComparisonResult], None] | None = None,
    sessions: Sessions | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare every position and judge it.

    limit     judge by this limit on 1 - cosine; None judges by the noise of the reference, which is measured
              unless every position agrees to the rounding of float32 sums
    blame     also judge every stage of both engines; a stage that is wrong is a divergence however small
    on_blame  called with the whole report of the stages, of which the result keeps the data
    on_result called with the result so far, before noise is measured and before stages are judged
    sessions  reference and candidate, open already; opened here if None

    Raises BadInput, TokenMismatch and NotCompared before anything runs, and EngineFailed when an engine fails
    before that.  Whatever fails later ends the run and is told in the result, with what was found before.
    """
    started = time.perf_counter()
    run: Run | None = None
    opened: AbstractContextManager[Sessions]
    opened = open_sides(comparison) if sessions is None else nullcontext(sessions)
    try:
        with opened as (reference, candidate):
            run = Run(comparison, (reference, candidate), limit, started)
            run.judge_positions(on_result or _drop, progress)
            if blame:
                run.judge_stages(on_result or _drop, progress)
    except EngineFailed as error:  # once there is a run, only closing the sessions can raise it
        if run is None:
            raise
        run.ended_by(error)
    if on_blame is not None and run.blame is not None:
        on_blame(run.blame)
    return run.result()


class Run:
    """Two open sessions, and what was found with them so far: every method adds to it, `result` tells it.

    tokens     ids of each prompt
    rows       the positions that were compared, each with its verdict
    criterion  what positions are judged by
    failure, unfinished   as in ComparisonResult
    started    by time.perf_counter; a result tells the seconds since

    Raises as `compare_engines` does before anything runs.
    """

    def __init__(
        self, comparison: Comparison, sessions: Sessions, limit: float | None, started: float
    ) -> None:
        self.comparison = comparison
        self.started = started
        self.reference = guard(sessions[0], comparison.reference.engine.name)
        self.candidate = guard(sessions[1], comparison.candidate.engine.name)
        self.tokens = self._tokens()
        self.fingerprints = tuple(s.info.fingerprint.as_dict() for s in (self.reference, self.candidate))
        self.criterion: Criterion = UnknownNoise() if limit is None else FixedLimit(limit)
        self.rows: list[PositionResult] = []
        self.sample = Sample()
        self.explanation: Explanation | None = None
        self.noise: NoiseFloor | None = None
        self.resolution: Resolution | None = None
        self.blame: BlameReport | None = None
        self.failure: str | None = None
        self.unfinished: str | None = None

    def ended_by(self, error: BitparityError | OSError, what: str = "") -> None:
        """Remember an error that ended the run early; what says in a clause which part of it is missing."""
        said = f"{what}: {error}" if what else str(error)
        if isinstance(error, EngineFailed):
            self.failure = _joined(self.failure, said)
        else:
            self.unfinished = _joined(self.unfinished, said)

    def judge_positions(
        self, on_result: Callable[[ComparisonResult], None], progress: Progress | None = None
    ) -> None:
        """Measure every position, and judge it by what explains the difference, else by the noise."""
        self.measure(progress)
        self.explain(on_result, progress)
        self.judge_by_noise(on_result, progress)
        self.find_resolution()

    def measure(self, progress: Progress | None = None) -> None:
        """Run both engines over every prompt; each position is judged as it comes, as far as it can be."""
        try:
            for prompt in range(len(self.tokens)):
                self._measure_prompt(prompt, progress)
        except (BitparityError, OSError) as error:
            if not isinstance(error, EngineFailed) and not self.rows:
                raise
            self.ended_by(error)

    def explain(
        self, on_result: Callable[[ComparisonResult], None], progress: Progress | None = None
    ) -> None:
        """Ask the oracle why positions do not agree, where they do not: two arithmetics of one function?"""
        if (
            not isinstance(self.criterion, UnknownNoise)
            or self._nothing_is_open()
            or self.failure is not None
        ):
            return
        if why_not(self.comparison.meant, self.candidate.info) is not None:
            return
        missing = "what the difference is was not found"
        on_result(self.result(missing))
        if progress is not None:
            progress(0, 1, "finding what the difference is")
        try:
            sessions = self.reference, self.candidate
            self.explanation = explain_run(self.comparison, sessions, self._files(), self.sample)
        except (BitparityError, OSError) as error:
            self.ended_by(error, missing)
            return
        if self.explanation is not None and self.explanation.sampled:
            self._judge_explained(self.explanation)

    def _judge_explained(self, explanation: Explanation) -> None:
        """Positions that the oracle gives for both engines, and others that are no farther than those."""
        shown = explanation.exact | explanation.flipped
        levels = [Levels.of(row.metrics) for row in self.rows if (row.prompt, row.position) in shown]
        limits = ExplainedDifference(levels=largest(levels), looked=len(shown))
        for index, row in enumerate(self.rows):
            place = (row.prompt, row.position)
            is_as_near = place not in explanation.sampled and limits.is_noise(row.metrics)
            if row.judged.verdict is Verdict.NOT_COMPARED and (place in shown or is_as_near):
                tie = not row.metrics.argmax_equal
                self.rows[index] = replace(row, judged=PositionVerdict(Verdict.EXPLAINED, "", tie))
        if self._nothing_is_open():
            self.criterion = limits

    @property
    def something_is_wrong(self) -> bool:
        """Whether a stage or the logits of an engine convict it, however near its logits are."""
        named = self.explanation is not None and self.explanation.names_a_mistake
        return named or (self.blame is not None and self.blame.is_guilty)

    @property
    def _is_shifted(self) -> bool:
        """Whether all positions together are beyond the reference's noise, and nothing explains that."""
        if self.noise is None or (self.explanation is not None and self.explanation.holds):
            return False
        shift = find_shift([row.metrics.relative_l2 for row in self.rows], self.noise)
        return shift is not None and shift.is_a_divergence

    @property
    def explains(self) -> bool:
        """Whether what the criterion lets pass is explained: it was shown at positions of this run."""
        return isinstance(self.criterion, ExplainedDifference)

    def _nothing_is_open(self) -> bool:
        return all(row.judged.verdict is not Verdict.NOT_COMPARED for row in self.rows)

    def _files(self) -> tuple[Model, Model]:
        return self.comparison.reference.model, self.comparison.candidate.model

    def judge_by_noise(
        self, on_result: Callable[[ComparisonResult], None], progress: Progress | None = None
    ) -> None:
        """Measure the noise, if some position needs it, and judge those positions by it."""
        if not isinstance(self.criterion, UnknownNoise):
            return
        if self._nothing_is_open():
            self.criterion = Exactness()
            return
        missing = f"the noise of {self.comparison.reference.engine.name} was not measured"
        on_result(self.result(missing))
        if self.reference.has_failed:
            return
        try:
            longest = max((self._tokens_run(prompt) for prompt in range(len(self.tokens))), key=len)
            name = self.comparison.reference.engine.name
            shown = progress and partial(progress, other=f"measuring the noise of {name}")
            self.noise = noise_of_reference(
                self.comparison, self.reference, self.candidate.info, longest, shown
            )
        except (BitparityError, OSError) as error:
            self.ended_by(error, missing)
            return
        self.criterion = MeasuredNoise(self.noise)
        for index, row in enumerate(self.rows):
            if row.judged.verdict is Verdict.NOT_COMPARED:
                self.rows[index] = replace(row, judged=judge_position(row.metrics, self.criterion))

    def find_resolution(self) -> None:
        """Ask the oracle what could not have been seen, where something passed that does not agree."""
        limit = self._largest_that_passes()
        meant = self.comparison.meant
        if limit is None or is_too_large(meant) or why_not(meant, self.candidate.info) is not None:
            return
        found = None if self.explanation is None else self.explanation.actual.arithmetic
        arithmetic = found or arithmetic_of(self.candidate.info.fingerprint)
        tokens = self._tokens_run(0)
        self.resolution = find_resolution(self.comparison.meant, arithmetic, tokens, limit)

    def _largest_that_passes(self) -> float | None:
        """Relative L2 of a position; None where all agree, or something does not pass."""
        verdict = self.result().verdict
        if verdict is Verdict.NOISE and self.noise is not None:
            return MULTIPLE * self.noise.relative_l2
        if verdict is not Verdict.EXPLAINED or self.explanation is None:
            return None
        return self.explanation.within

    def judge_stages(
        self, on_result: Callable[[ComparisonResult], None], progress: Progress | None = None
    ) -> None:
        """Judge the stages of the prompt that diverged first, or of the first one, if both engines live."""
        if self.failure is not None:
            return
        missing = "stages were not judged"
        on_result(self.result(missing))
        prompt = prompt_to_judge(self.rows)
        comparison = self.comparison
        try:
            tokens = self._tokens_run(prompt)
            sides = list(zip((self.reference, self.candidate), self._files(), strict=True))
            found = None if self.explanation is None else self.explanation.found
            reports = blame_all(comparison.meant, sides, tokens, comparison.chunking, found=found or ())
            self.blame = reports[0, 1]
            if progress is not None:
                progress(0, 1, "reading from outside what records no stages")
            if any(row.judged.verdict is not Verdict.AGREE for row in self.rows):
                self.blame = with_outside(
                    self.blame, comparison, self.candidate.info, tokens, self.explanation
                )
            check_judged(self.blame)
        except (BitparityError, OSError) as error:
            self.ended_by(error, missing)

    def result(self, missing: str | None = None) -> ComparisonResult:
        """The result so far; `missing` says in a clause what is still to be done."""
        comparison = self.comparison
        unfinished = self.unfinished if missing is None else _joined(self.unfinished, missing)
        verdict = judge_run(
            (row.judged for row in self.rows),
            asked=sum(span.asked for span in self._spans()),
            criterion=self.criterion,
            an_engine_failed=self.failure is not None,
            a_stage_is_wrong=self.something_is_wrong,
            is_unfinished=unfinished is not None,
            is_shifted=self._is_shifted,
        )
        return ComparisonResult(
            model=_model_file(comparison.reference.model),
            candidate_model=_model_file(comparison.candidate.model),
            reference=self.fingerprints[0],
            candidate=self.fingerprints[1],
            chunks=comparison.chunking.name,
            prompts=self._spans(),
            positions=tuple(self.rows),
            verdict=verdict,
            exit_code=exit_code(verdict, (row.metrics for row in self.rows), comparison.required),
            criterion=self.criterion.describe(),
            limits=self.criterion.as_dict(),
            required=comparison.required,
            explanation=None if self.explanation is None else self.explanation.as_dict(),
            noise_floor=None if self.noise is None else self.noise.as_dict(),
            failure=self.failure,
            unfinished=unfinished,
            blame=None if self.blame is None else self.blame.as_dict(),
            resolution=None if self.resolution is None else self.resolution.as_dict(),
            seconds=round(time.perf_counter() - self.started, 3),
            command=comparison.command,
            findings=tuple(finding.as_dict() for finding in comparison.findings),
            compared=self._compared(),
            made=Provenance.now().as_dict(),
            pieces={} if self._decoder is None else pieces_of(self._ids(), self._decoder),
        )

    @cached_property
    def _decoder(self) -> Decoder | None:
        """Makes text of ids for reports; None where the vocabulary cannot be read."""
        if isinstance(self.comparison.tokenizer, Tokenizer):
            return self.comparison.tokenizer
        try:
            return Detokenizer(GgufPieces(self.comparison.meant.metadata))
        except BadInput:
            return None

    def _ids(self) -> set[int]:
        """Every token id that the result names."""
        best = (i for row in self.rows for i in (row.metrics.argmax_expected, row.metrics.argmax_actual))
        return {*(row.token for row in self.rows), *best}

    def _compared(self) -> str:
        info = self.candidate.info
        return "" if info.most_probable is None else what_is_compared(info.most_probable, info.n_vocab)

    def _tokens(self) -> list[list[int]]:
        """Token ids of every prompt, checked against both engines before either of them runs."""
        comparison, sessions = self.comparison, (self.reference, self.candidate)
        if not comparison.prompts:
            raise BadInput("there is no prompt to compare; give --prompt, --prompts or --tokens")
        own = partial(Tokenizer.from_gguf, comparison.meant.metadata)
        metadata = comparison.meant.metadata
        tokens = [
            tokenize(prompt, *sessions, comparison.tokenizer, own, metadata) for prompt in comparison.prompts
        ]
        for ids in tokens:
            for session in sessions:
                check_tokens(ids, session, steps=comparison.steps)
        return tokens

    def _spans(self) -> tuple[PromptSpan, ...]:
        spans: list[PromptSpan] = []
        for index, (ids, prompt) in enumerate(zip(self.tokens, self.comparison.prompts, strict=True)):
            first = sum(row.prompt < index for row in self.rows)
            steps = self.comparison.steps
            spans.append(PromptSpan(prompt.text, first, len(ids) + steps, steps))
        return tuple(spans)

    def _measure_prompt(self, prompt: int, progress: Progress | None) -> None:
        comparison, tokens = self.comparison, self.tokens[prompt]
        total = sum(len(ids) + comparison.steps for ids in self.tokens)
        with ExitStack() as stack:
            for role, session in (("reference", self.reference), ("candidate", self.candidate)):
                name = f"{role}-{session.info.fingerprint.engine}"
                stages = comparison.trace_filter
                stack.enter_context(
                    tracing(session, comparison.settings, run=name, stages=stages, tokens=tokens)
                )
            for record in compare_positions(
                self.reference, self.candidate, tokens, comparison.chunking, steps=comparison.steps
            ):
                judged = judge_position(record.metrics, self.criterion)
                self.rows.append(
                    PositionResult(prompt, record.position, record.token, record.metrics, judged)
                )
                self.sample.add(prompt, record.token, record.expected, record.actual)
                if progress is not None:
                    progress(len(self.rows), total)
        self.sample.end(prompt, comparison.chunking, len(tokens))

    def _tokens_run(self, prompt: int) -> list[int]:
        return [row.token for row in self.rows if row.prompt == prompt]


def _joined(said: str | None, more: str) -> str:
    return f"{said}; {more}" if said else more


def _drop(result: ComparisonResult) -> None:
    """For callers that do not ask for the result so far."""


def _model_file(model: Model) -> ModelFile:
    return ModelFile(str(model.path), file_digest(model.path))
