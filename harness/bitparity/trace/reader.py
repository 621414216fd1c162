"""Reading traces: ours (store.py has the format), those of BitNet.rs (bitnet_rs.py), logs (printed.py)."""

from __future__ import annotations

import json
from pathlib import Path

from bitparity.errors import BadInput, NotCompared
from bitparity.stage_map import StageMap
from bitparity.trace.bitnet_rs import read_trace_files, with_names_understood
from bitparity.trace.printed import read_printed
from bitparity.trace.record import TraceRecord
from bitparity.trace.store import META, RECORDS
from bitparity.trace.trace import Trace


def read_trace(path: Path, stage_map: StageMap | None = None) -> Trace:
    """Read a run's folder, a folder that holds one run, a .jsonl file, a folder of BitNet.rs .trace files, or
    any other file as a log of what a tracer printed.

    stage_map  leads from the names in a log to stages
    Raises BadInput if there is no such path, a record cannot be understood, or there is more than one run to
    choose from; NotCompared if it holds no record at all.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: there is no such trace")
    if path.is_file() and path.suffix == ".jsonl":
        trace = _read_jsonl(path, path.parent)
    elif path.is_file():
        trace = read_printed(path, stage_map or StageMap())
    elif (path / RECORDS).exists():
        trace = _read_jsonl(path / RECORDS, path)
    elif any(path.glob("*.trace")):
        trace = read_trace_files(path)
    else:
        trace = _only_run(path)
    if not trace.records:
        cut = f" ({'; '.join(trace.damage)})" if trace.damage else ""
        raise NotCompared(f"{path}: holds no whole trace record{cut}")
    trace.check_values()
    return trace


def trace_runs(folder: Path) -> list[Path]:
    """The runs that lie in a folder, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{RECORDS}"))


def _only_run(folder: Path) -> Trace:
    runs = trace_runs(folder)
    if len(runs) > 1:
        raise BadInput(
            f"{folder}: holds {len(runs)} runs ({', '.join(r.name for r in runs)}); name one of them"
        )
    if not runs:
        raise NotCompared(f"{folder}: holds no trace (neither {RECORDS} nor *.trace)")
    return _read_jsonl(runs[0] / RECORDS, runs[0])


def _read_jsonl(path: Path, folder: Path) -> Trace:
    lines = path.read_bytes().split(b"\n")
    damage = []
    if lines[-1]:
        damage.append(f"{path}: record {len(lines)} is cut off after {len(lines[-1]):,} bytes")
    records = [_parse(path, number, line) for number, line in enumerate(lines[:-1], start=1) if line.strip()]
    meta = folder / META
    return Trace(
        folder,
        [with_names_understood(record) for record in records],
        json.loads(meta.read_text()) if meta.exists() else {},
        damage,
    )


def _parse(path: Path, number: int, line: bytes) -> TraceRecord:
    try:
        return TraceRecord.from_mapping(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: line {number} is no trace record: {error}") from None
