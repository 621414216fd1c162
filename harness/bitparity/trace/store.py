"""The trace store: a folder a run.

    FOLDER/
      RUN/                     "native", then "native-2", ...: nothing is ever overwritten
        meta.json              engine, run, model {path, blake3}, tokens, fingerprint, stages
        trace.jsonl            one record a line (record.TraceRecord), appended, in the order of the graph
        values/000000.safetensors   values that were asked for, keyed by the record's name

A step's values are written before its records, and a record only after everything it refers to, so whatever
interrupts a run, what trace.jsonl holds is true; a last line that was cut off is noticed when reading.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitparity.engine import Floats, Session, StageValue
from bitparity.errors import BadInput
from bitparity.output import make_folder, write_json
from bitparity.stages import StageFilter
from bitparity.trace.record import RecordMaker, TraceRecord, position_row

RECORDS, META, VALUES = "trace.jsonl", "meta.json", "values"
BATCH_BYTES = 32 << 20  # largest amount of values handed on together; also the size of a safetensors file
BACKLOG = 16  # batches that may wait; a slow disk then slows the engine down instead of filling memory


@dataclass(frozen=True)
class ValueWindow:
    """Which values to keep: these stages at these positions (None is all)."""

    stages: StageFilter
    positions: range | None = None

    def holds(self, record: TraceRecord) -> bool:
        assert record.layer is not None
        assert record.stage is not None
        in_positions = self.positions is None or record.position in self.positions
        return in_positions and self.stages.matches(record.layer, record.stage)


ALL_VALUES = ValueWindow(StageFilter.parse("*:*"))


class TraceWriter:
    """A sink that hashes, measures and writes what a session records; a context manager.

    The work is done in a thread of its own, beside the engine's next step, so the arrays that it is given
    must not change afterwards.  An error in that thread (a full disk) is raised by a later call.
    """

    def __init__(
        self,
        folder: Path,
        engine: str,
        run: str | None = None,
        keep_values: ValueWindow | bool = False,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes FOLDER/RUN.

        run          named after the engine unless given; a number is added if it is taken
        keep_values  which values to keep beside the records; True is all
        meta         what meta.json says besides engine and run
        """
        self.path = _new_run(folder, run or run_name(engine))
        self.engine, self.run = engine, self.path.name
        self._keep = ALL_VALUES if keep_values is True else keep_values or None
        self._maker = RecordMaker(engine, self.run)
        header = {"engine": engine, "run": self.run} | dict(meta or {})
        write_json(self.path / META, header)
        self._file = (self.path / RECORDS).open("wb")
        self._pending: list[StageValue] = []
        self._pending_bytes = 0
        self._n_files = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bitparity-trace")
        self._waiting: deque[Future[None]] = deque()

    @contextmanager
    def recording(self, session: Session, stages: StageFilter) -> Iterator[None]:
        """Record a session's stages while active."""
        with session.tap(stages, self):
            yield

    def __call__(self, value: StageValue) -> None:
        if self._pending and (self._pending[-1].seq, self._pending[-1].position) != (
            value.seq,
            value.position,
        ):
            self.flush()
        self._pending.append(value)
        self._pending_bytes += value.values.nbytes
        if self._pending_bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what is pending to the thread; raises what went wrong there before."""
        self._raise_failures()
        if self._pending:
            self._waiting.append(self._thread.submit(self._write, self._pending))
            self._pending, self._pending_bytes = [], 0

    def _raise_failures(self) -> None:
        """Raise an error of the thread; wait first while too many batches are waiting there."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > BACKLOG):
            self._waiting.popleft().result()

    def close(self) -> None:
        """Write everything; a second call does nothing."""
        try:
            self.flush()
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._thread.shutdown()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, batch: list[StageValue]) -> None:
        records = self._maker.records(batch)
        kept = self._kept(batch, records)
        name = f"{self._n_files:06}.safetensors" if kept else None
        if name:
            self._n_files += 1
            _save(self.path / VALUES / name, kept)
        lines = [json_line(record, name if record.name in kept else None) for record in records]
        self._file.write("".join(lines).encode("ascii"))
        self._file.flush()

    def _kept(self, batch: list[StageValue], records: list[TraceRecord]) -> dict[str, Floats]:
        """Record name -> the value at its position."""
        if self._keep is None:
            return {}
        rows = ((value, index) for value in batch for index in range(len(value.values)))
        pairs = zip(rows, records, strict=True)
        return {record.name: position_row(*row) for row, record in pairs if self._keep.holds(record)}


def json_line(record: TraceRecord, values_file: str | None = None) -> str:
    """One line of trace.jsonl, put together by hand: for a whole record json takes longer than the hash."""
    known = (
        ""
        if record.min is None
        else (f',"min":{_number(record.min)},"max":{_number(record.max)},"mean":{_number(record.mean)}')
    )
    kept = "" if values_file is None else f',"values_file":"{values_file}"'
    return (
        f'{{"name":{json.dumps(record.name)},"shape":{list(record.shape)},"dtype":"{record.dtype}",'
        f'"seq":{record.seq},"layer":{record.layer},"stage":{json.dumps(record.stage)},"batch":{record.batch},'
        f'"engine":{json.dumps(record.engine)},"run":{json.dumps(record.run)},"position":{record.position},'
        f'"blake3":"{record.blake3}",'
        f'"num_elements":{record.num_elements},"non_finite":{record.non_finite},"rms":{_number(record.rms)}'
        f"{known}{kept}}}\n"
    )


def _number(value: float | None) -> str:
    """Nine digits, which are different for any two different float32 numbers."""
    return "null" if value is None else f"{value:.9g}"


def _save(path: Path, arrays: dict[str, Floats]) -> None:
    """Write under another name first, so that a file of that name is always complete."""
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    save_file(arrays, unfinished)
    unfinished.rename(path)


def run_name(text: str) -> str:
    """A name for a run, made of any text: whatever a folder should not be named becomes a `-`."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.+") or "run"


def _new_run(folder: Path, run: str) -> Path:
    if not re.fullmatch(r"\w[\w.+-]*", run):
        raise BadInput(f"run name {run!r} must consist of letters, digits and . _ + -")
    for number in itertools.count(1):
        path = folder / (run if number == 1 else f"{run}-{number}")
        try:
            make_folder(path)
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable: the numbers do not end")
