"""A comparison on a corpus, from beginning to end.

First all windows are measured, which may take hours and goes on where it was interrupted.  Then the window
with the worst position is run once more, as `compare` runs a prompt: it tells what explains the difference,
how large the noise is, in which layers the engines part and, if asked, which stages are wrong.  By what was
found there all positions are judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from blake3 import blake3

from bitparity.blame.engines import BlameReport
from bitparity.compare.comparison import Comparison, Sessions, open_sides
from bitparity.compare.positions import check_tokens
from bitparity.compare.prompts import ExternalTokenizer, Prompt, tokenize
from bitparity.compare.result import ModelFile
from bitparity.compare.run import Progress, Run
from bitparity.corpus.figures import figures_of
from bitparity.corpus.layers import LayerDifference, layer_differences
from bitparity.corpus.measure import measure_corpus
from bitparity.corpus.noise import noise_along
from bitparity.corpus.result import CorpusResult, CorpusText, WorstPosition
from bitparity.corpus.rows import RowFile, Rows, metrics_of
from bitparity.corpus.text import DEFAULT_WINDOW
from bitparity.corpus.verdict import Judged, judge_rows
from bitparity.corpus.windows import Ids, Plan, as_ids
from bitparity.engine import Session
from bitparity.errors import BadInput, BitparityError, CannotTokenize, EngineFailed, NotCompared
from bitparity.guard import guard
from bitparity.model.types import Model
from bitparity.noise.criterion import (
    Criterion,
    Exactness,
    ExplainedDifference,
    FixedLimit,
    MeasuredNoise,
    UnknownNoise,
)
from bitparity.noise.floor import NoiseFloor
from bitparity.noise.verdict import exit_code, judge_run
from bitparity.output import to_json
from bitparity.provenance import Provenance
from bitparity.runs import file_digest
from bitparity.tokenizer import Tokenizer

WORST = 10  # positions that are told
FORMAT = 1  # of the rows that are kept; another one is begun again


@dataclass(frozen=True)
class Corpus:
    """What is run: a text, or ids as a prompt, and how it is cut (windows.py).

    name  of its file, for reports
    """

    name: str
    prompt: Prompt
    window: int
    stride: int

    @classmethod
    def cut(cls, path: Path, comparison: Comparison, window: int | None, stride: int | None) -> Corpus:
        """The prompt that was read from a file, in windows of DEFAULT_WINDOW and half of it, if not said."""
        window = window or min(DEFAULT_WINDOW, comparison.meant.hyper.context_length)
        return cls(path.name, comparison.prompts[0], window, stride or window // 2)


def compare_corpus(
    comparison: Comparison,
    corpus: Corpus,
    *,
    limit: float | None = None,
    blame: bool = False,
    on_blame: Callable[[BlameReport], None] | None = None,
    on_result: Callable[[CorpusResult], None] | None = None,
    progress: Progress | None = None,
) -> CorpusResult:
    """Compare two engines on a corpus; `comparison` says which and how, its prompts are not used.

    limit      judge by this limit on 1 - cosine, as in compare_engines
    blame      also judge the stages of the window with the worst position
    on_result  gets the result before the rows of the run, which are kept until then, are forgotten

    Raises BadInput, TokenMismatch and NotCompared before anything runs, and EngineFailed when an engine fails
    before that.  Whatever fails later is told in the result, and the same call goes on where it was.
    """
    started = time.perf_counter()
    with open_sides(replace(comparison, prompts=(), context=corpus.window)) as sessions:
        run = CorpusRun(comparison, sessions, corpus, limit, started)
        run.measure(progress)
        run.look_at_worst_window(blame, progress)
    if on_blame is not None and run.window_run is not None and run.window_run.blame is not None:
        on_blame(run.window_run.blame)
    result = run.result()
    if on_result is not None:
        on_result(result)
    if result.failure is None and len(run.rows) == run.asked:
        run.file.remove()
    return result


class CorpusRun:
    """Two open sessions and the rows of a corpus; `result` tells what was found so far.

    window_run  the run of the window with the worst position; None until it was made, or where all agree
    noise       of the reference, in that window and along the corpus; None where it was not needed
    """

    def __init__(
        self, comparison: Comparison, sessions: Sessions, corpus: Corpus, limit: float | None, started: float
    ) -> None:
        self.comparison, self.corpus, self.limit, self.started = comparison, corpus, limit, started
        self.reference = guard(sessions[0], comparison.reference.engine.name)
        self.candidate = guard(sessions[1], comparison.candidate.engine.name)
        if self.candidate.info.most_probable is not None:
            raise NotCompared(f"{comparison.candidate.engine.name} does not give the logits of all tokens")
        self.fingerprints = tuple(s.info.fingerprint.as_dict() for s in (self.reference, self.candidate))
        self.plan = Plan(*self._ids(), corpus.window, corpus.stride)
        for index in range(len(self.plan.starts)):
            for session in (self.reference, self.candidate):
                check_tokens(self._tokens(index), session)
        self.asked = sum(self.plan.scored)
        self.file = self._row_file()
        self.failure: str | None = None
        self.unfinished: str | None = None
        self.window_run: Run | None = None
        self.layers: list[LayerDifference] = []
        self.noise: NoiseFloor | None = None

    @property
    def rows(self) -> Rows:
        return self.file.read()

    def measure(self, progress: Progress | None = None) -> None:
        """Run both engines over every window that was not run before."""
        on_window = None if progress is None else partial(progress, other="comparing windows")
        try:
            measure_corpus(
                self.reference, self.candidate, self.plan, self.comparison.chunking, self.file, on_window
            )
        except EngineFailed as error:
            self.failure = str(error)
        except (BitparityError, OSError) as error:
            self.unfinished = str(error)

    def look_at_worst_window(self, blame: bool, progress: Progress | None = None) -> None:
        """Find what the difference is, where not all agree; layers and stages of the worst window."""
        if self.failure is not None or not len(self.rows):
            return
        tokens = self._tokens(int(self.rows[self._worst()[0]]["window"]))
        comparison = replace(self.comparison, prompts=[Prompt(tokens=tuple(tokens))], steps=0)
        sessions = (self.reference, self.candidate)
        if not Judged.agreement(self.rows).all():
            self._run_window(comparison, sessions, progress)
        elif blame:
            self.window_run = Run(comparison, sessions, self.limit, self.started)
            self.window_run.measure()
        if self.window_run is not None and blame:
            self.window_run.judge_stages(lambda result: None)

    def _run_window(
        self, comparison: Comparison, sessions: tuple[Session, Session], progress: Progress | None
    ) -> None:
        run = self.window_run = Run(comparison, sessions, self.limit, self.started)
        run.measure()
        run.explain(lambda result: None, progress)
        run.judge_by_noise(lambda result: None, progress)
        try:
            self.layers = layer_differences(*sessions, run.tokens[0], comparison.chunking)
            if self.limit is None and not self._is_explained(run):
                self.noise = self._noise_along(run)
        except (BitparityError, OSError) as error:
            run.ended_by(error, "layers and noise of the corpus were not measured")

    def _is_explained(self, run: Run) -> bool:
        """Whether what explains the window lets every position of the corpus pass."""
        judged = judge_rows(self.rows, run.criterion, explains=True)
        return run.explains and judged.first is None

    def _noise_along(self, run: Run) -> NoiseFloor:
        """The noise of the window, and of windows from the whole corpus."""
        comparison = self.comparison
        along = noise_along(
            self.reference,
            comparison.reference,
            self.plan,
            comparison.chunking,
            settings=comparison.settings,
        )
        known = () if run.noise is None else run.noise.comparisons
        return NoiseFloor(comparison.reference.engine.name, (*known, along))

    def result(self) -> CorpusResult:
        """All that was found so far."""
        comparison, rows, run = self.comparison, self.rows, self.window_run
        criterion = self._criterion()
        judged = judge_rows(rows, criterion, explains=isinstance(criterion, ExplainedDifference))
        failure = self.failure or (None if run is None else run.failure)
        unfinished = self.unfinished or (None if run is None else run.unfinished)
        verdict = judge_run(
            judged.verdicts(),
            asked=self.asked,
            criterion=criterion,
            an_engine_failed=failure is not None,
            a_stage_is_wrong=run is not None and run.something_is_wrong,
            is_unfinished=unfinished is not None,
        )
        one_sided = (metrics_of(row) for row in rows[rows["expected_is_finite"] != rows["actual_is_finite"]])
        return CorpusResult(
            corpus=self._text(),
            model=_model_file(comparison.reference.model),
            candidate_model=_model_file(comparison.candidate.model),
            reference=self.fingerprints[0],
            candidate=self.fingerprints[1],
            chunks=comparison.chunking.name,
            verdict=verdict,
            required=comparison.required,
            exit_code=exit_code(verdict, one_sided, comparison.required),
            criterion=criterion.describe(),
            counts={"asked": self.asked, "compared": len(rows), **judged.counts()},
            figures=figures_of(rows) if len(rows) else {},
            worst=tuple(self._told(judged, index) for index in self._worst()),
            first_divergence=None if judged.first is None else self._told(judged, judged.first),
            layers=tuple(self.layers),
            explanation=None if run is None or run.explanation is None else run.explanation.as_dict(),
            noise_floor=None if self.noise is None else self.noise.as_dict(),
            blame=None if run is None or run.blame is None else run.blame.as_dict(),
            failure=failure,
            unfinished=unfinished,
            seconds=round(time.perf_counter() - self.started, 3),
            command=comparison.command,
            made=Provenance.now().as_dict(),
            findings=tuple(finding.as_dict() for finding in comparison.findings),
        )

    def _criterion(self) -> Criterion:
        if self.limit is not None:
            return FixedLimit(self.limit)
        if self.window_run is None:
            return Exactness() if Judged.agreement(self.rows).all() else UnknownNoise()
        return self.window_run.criterion if self.noise is None else MeasuredNoise(self.noise)

    def _worst(self) -> list[int]:
        """Rows with the largest KL, the worst first; what is not finite is worse than all."""
        kl = np.nan_to_num(np.asarray(self.rows["kl"]), nan=np.inf)
        count = min(WORST, len(kl))
        largest = np.argpartition(-kl, count - 1)[:count] if count else np.empty(0, np.intp)
        return [int(index) for index in largest[np.lexsort((largest, -kl[largest]))]]

    def _told(self, judged: Judged, index: int) -> WorstPosition:
        row = self.rows[index]
        verdict = judged.at(index)
        return WorstPosition(
            **{name: row[name].item() for name in ("window", "position", "token", "target")},
            **{name: row[name].item() for name in ("kl", "relative_l2")},
            delta_p=float(np.exp(-row["nll_actual"]) - np.exp(-row["nll_expected"])),
            verdict=verdict.verdict.value,
            reason=verdict.reason,
        )

    def _tokens(self, window: int) -> list[int]:
        return [int(token) for token in self.plan.at(window).tokens]

    def _ids(self) -> tuple[Ids, Ids]:
        """The ids of the corpus, and those that every window begins with."""
        comparison, prompt = self.comparison, self.corpus.prompt
        own = partial(Tokenizer.from_gguf, comparison.meant.metadata)
        sessions, metadata = (self.reference, self.candidate), comparison.meant.metadata
        ids = as_ids(tokenize(prompt, *sessions, comparison.tokenizer, own, metadata))
        prefix = as_ids(_beginning(self.reference, comparison.tokenizer, own))
        if len(prefix) and np.array_equal(ids[: len(prefix)], prefix):
            ids = ids[len(prefix) :]
        return ids, prefix

    def _row_file(self) -> RowFile:
        comparison = self.comparison
        identity = {
            "format": FORMAT,
            "ids": self._text().ids_blake3,
            "window": [self.corpus.window, self.corpus.stride],
            "chunks": comparison.chunking.name,
            "models": [file_digest(side.model.path) for side in (comparison.reference, comparison.candidate)],
            "fingerprints": self.fingerprints,
        }
        name = blake3(to_json(identity).encode()).hexdigest(length=16)
        return RowFile(comparison.settings.cache_dir / "corpus" / name, identity, self.plan.scored)

    def _text(self) -> CorpusText:
        plan = self.plan
        digest = blake3(plan.prefix.tobytes() + plan.ids.tobytes()).hexdigest()
        cut = {"window": self.corpus.window, "stride": self.corpus.stride}
        return CorpusText(self.corpus.name, digest, len(plan.ids), len(plan.starts), **cut)


def _beginning(
    session: Session, external: ExternalTokenizer | None, own: Callable[[], ExternalTokenizer]
) -> list[int]:
    """Special ids at the beginning of a text, such as BOS: what a tokenizer puts before it when asked to."""
    encode = session.tokenize if external is None else external.encode
    try:
        ids = encode("a", add_bos=True, parse_special=True)
    except CannotTokenize:
        try:
            encode = own().encode
        except BadInput:
            return []
        ids = encode("a", add_bos=True, parse_special=True)
    return ids[: len(ids) - len(encode("a", add_bos=False, parse_special=True))]


def _model_file(model: Model) -> ModelFile:
    return ModelFile(str(model.path), file_digest(model.path))
