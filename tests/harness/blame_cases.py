"""What the tests of blame share: traces of oracles, sound or with a fault planted in them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bitparity.compare.chunking import Chunking
from bitparity.engine import Floats, StageValue
from bitparity.faults.catalogue import CATALOGUE
from bitparity.faults.plant import plant
from bitparity.oracle.engine import OracleEngine
from bitparity.runs import file_digest
from bitparity.stages import StageFilter
from bitparity.trace import ALL_VALUES, MemoryTrace, TraceWriter

TOKENS = [(37 * i + 11) % 320 for i in range(12)]
MakePath = Callable[..., Path]  # takes the fields of ModelSpec
FAULT = {fault.name: fault for fault in CATALOGUE}


def record(
    path: Path,
    engine: OracleEngine,
    *,
    name: str = "oracle",
    chunks: str = "mixed",
    tokens: Sequence[int] = TOKENS,
    change: Callable[[StageValue], StageValue | None] = lambda value: value,
) -> MemoryTrace:
    """Trace a run; `change` alters what is recorded, or leaves it out."""
    trace = MemoryTrace(name)

    def sink(value: StageValue) -> None:
        changed = change(value)
        if changed is not None:
            trace(changed)

    session = engine.open(path, context=len(tokens), threads=1)
    with session.tap(StageFilter.parse(), sink):
        for chunk in Chunking(chunks).chunks(len(tokens)):
            if chunk.decode:
                session.decode(tokens[chunk.first])
            else:
                session.prefill(tokens[chunk.first : chunk.last])
    return trace


def edit(layer: int, stage: str, how: Callable[[Floats], Floats]) -> Callable[[StageValue], StageValue]:
    """Change the recorded values of one stage."""

    def change(value: StageValue) -> StageValue:
        if (value.layer, value.stage) != (layer, stage):
            return value
        return StageValue(layer, stage, value.position, value.seq, how(value.values.copy()))

    return change


def without(*names: str) -> Callable[[StageValue], StageValue | None]:
    return lambda value: None if value.stage in names else value


def plant_oracle(name: str) -> OracleEngine:
    engine = plant(FAULT[name], OracleEngine())
    assert isinstance(engine, OracleEngine)
    return engine


def write_trace(folder: Path, path: Path, engine: OracleEngine, run: str) -> Path:
    session = engine.open(path, context=len(TOKENS), threads=1)
    meta = {
        "tokens": TOKENS,
        "fingerprint": session.info.fingerprint.as_dict(),
        "model": {"path": str(path), "blake3": file_digest(path)},
    }
    with (
        TraceWriter(folder, "oracle", run, ALL_VALUES, meta) as sink,
        session.tap(StageFilter.parse(), sink),
    ):
        session.prefill(TOKENS[:9])
        for token in TOKENS[9:]:
            session.decode(token)
    return sink.path


def blame_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from bitparity.cli import main; main()", "blame", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
