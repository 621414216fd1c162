"""Run one cell, whatever it does: in a process of its own, within its time, and again when it fails.

The worker that runs it survives a crash of any engine, and a cell that hangs is ended with all that it
started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitparity.choose import choose_model, choose_prompts
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt, read_prompts
from bitparity.compare.run import compare_engines
from bitparity.corpus.run import Corpus, compare_corpus
from bitparity.corpus.text import read_corpus
from bitparity.engine import Engine
from bitparity.engines.ways import open_engine
from bitparity.errors import BitparityError, EngineFailed, NotCompared, TokenMismatch
from bitparity.extras import require
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.checks import Severity, check_model, refuse_to_run
from bitparity.model.converted import in_weight_format
from bitparity.model.types import Model
from bitparity.noise.verdict import Verdict
from bitparity.provenance import Provenance
from bitparity.records.columns import OUTCOMES, Record
from bitparity.records.of_result import with_corpus, with_provenance, with_result
from bitparity.settings import add_to_environment, read_settings
from bitparity.sweep.cell import Cell, EngineChoice
from bitparity.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = 2
_END_SECONDS = 10  # that a killed process may take to be gone
# How a cell may end that another try may end otherwise.
_TRIED_AGAIN = ("engine failed", "hung", "bitparity failed")
# The first that fits says how a cell ended which an error ended.
_OUTCOME_OF: tuple[tuple[type[BitparityError], str], ...] = (
    (EngineFailed, "engine failed"),
    (TokenMismatch, "tokens differ"),
    (NotCompared, "not compared"),
    (BitparityError, "bad input"),
)


def run_cell(cell: Cell, run: str) -> Record:
    """The record of a cell; whatever happens in it is told there and never raised."""
    started = time.perf_counter()
    record = cell.record(run)
    for attempt in range(1, ATTEMPTS + 1):
        record = replace(_attempt(cell, run), attempts=attempt)
        if record.outcome not in _TRIED_AGAIN:
            break
    return replace(record, seconds=round(time.perf_counter() - started, 3))


def _attempt(cell: Cell, run: str) -> Record:
    limit = cell.limits.cell_time_limit
    record = with_provenance(cell.record(run), Provenance.now())
    try:
        worker = Worker("the cell", CellProcess, {"cell": cell, "run": run}, time_limit=2 * limit)
    except EngineFailed as error:
        return ended(record, "bitparity failed", str(error))
    try:
        with ending(worker.process_id, limit) as is_late:
            found: Record = worker.call("run")
        return found
    except EngineFailed as error:
        if is_late():
            return ended(record, "hung", f"the cell was not done after {limit:g} s")
        return ended(record, "engine failed", str(error))
    finally:
        worker.close()


def ended(record: Record, outcome: str, sentence: str) -> Record:
    """The record of a cell that ended without a verdict."""
    return replace(record, outcome=outcome, exit_code=OUTCOMES[outcome], sentence=sentence)


@contextmanager
def ending(process: int, seconds: float) -> Iterator[Callable[[], bool]]:
    """Kill a process, and all that it started, when the time is up; yields what says whether it was."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        kill_tree(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late.is_set
    finally:
        timer.cancel()


def kill_tree(process: int) -> None:
    """Kill a process and all that it started, and wait for their end; harmless when they are gone."""
    psutil = require("psutil", "sweep")
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process)
        parent.suspend()  # so that it starts nothing more
        tree = [*parent.children(recursive=True), parent]
        for one in tree:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(tree, timeout=_END_SECONDS)


class CellProcess:
    """The cell as it is run in its own process."""

    def __init__(self, cell: Cell, run: str) -> None:
        self.cell, self.run_id = cell, run
        add_to_environment({**cell.reference.environment, **cell.candidate.environment})

    def run(self) -> Record:
        """Its record; an error is told in it.  What nobody foresaw is bitparity's own failure."""
        record = self.cell.record(self.run_id)
        try:
            record = compared(self.cell, record)
        except BitparityError as error:
            outcome = next(outcome for kind, outcome in _OUTCOME_OF if isinstance(error, kind))
            record = ended(record, outcome, str(error))
        except Exception as error:
            record = ended(record, "bitparity failed", f"{type(error).__name__}: {error}")
        return with_provenance(record, Provenance.now())


def compared(cell: Cell, record: Record) -> Record:
    """Compare, as `bitparity compare` does; raises what it raises."""
    settings = read_settings()
    reference, candidate = (_engine(side, cell) for side in (cell.reference, cell.candidate))
    prompts = _prompts(cell)
    model = open_model(model_of(cell, [reference, candidate]))
    sides = (_side(reference, cell.reference, model), _side(candidate, cell.candidate, model))
    texts = [prompt.text for prompt in prompts if prompt.text]
    findings = [f for side in sides for f in check_model(side.model, engines=[side.engine.name], texts=texts)]
    refuse_to_run(findings, model.path.name)
    comparison = Comparison(
        *sides,
        prompts=prompts,
        settings=settings,
        model=model,
        chunking=Chunking.parse(cell.chunks),
        steps=cell.limits.steps,
        threads=cell.threads,
        required=Verdict(cell.limits.require),
        command=cell.command(str(model.path)),
        findings=[finding for finding in findings if finding.severity is not Severity.NOTE],
    )
    blame = cell.limits.blame
    if cell.prompt.corpus is None:
        return with_result(record, compare_engines(comparison, blame=blame))
    corpus = Corpus.cut(Path(cell.prompt.corpus), comparison, cell.prompt.window, cell.prompt.stride)
    return with_corpus(record, compare_corpus(comparison, corpus, blame=blame))


def model_of(cell: Cell, engines: list[Engine]) -> Path:
    """The file of the cell, in its weight format; of a bundled model without one, what both engines run."""
    if cell.path is not None:
        path = Path(cell.path)
        return path if cell.weight_format is None else in_weight_format(path, cell.weight_format)
    assert cell.model in ARCHS
    if cell.weight_format is None:
        return choose_model(cell.model, engines)
    return bundled_model(cell.model, cell.weight_format)


def _engine(side: EngineChoice, cell: Cell) -> Engine:
    return open_engine(
        side.engine,
        time_limit=cell.limits.time_limit,
        stage_map=None if side.stage_map is None else Path(side.stage_map),
        kernels=side.kernels,
        arithmetic=side.arithmetic,
    )


def _side(engine: Engine, side: EngineChoice, model: Model) -> Side:
    return Side(engine, model if side.model is None else open_model(Path(side.model)))


def _prompts(cell: Cell) -> list[Prompt]:
    prompt: Any = cell.prompt
    if prompt.corpus is not None:
        return [read_corpus(Path(prompt.corpus))]
    if prompt.file is not None:
        return read_prompts(Path(prompt.file))
    if prompt.tokens is not None:
        return [Prompt(tokens=prompt.tokens)]
    return choose_prompts([prompt.text], None, None, [])
