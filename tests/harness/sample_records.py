"""Made-up records of a sweep that ran for several nights: every outcome, and every change between runs.

    python tests/harness/sample_records.py FOLDER

writes them, for looking at reports.  Night by night: everything as it should be but what never ran; a crash
and a hang; a new build of `mine` diverges; one cell of it is mended, another lost its worker.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from bitparity.records.columns import OUTCOMES, Record
from bitparity.records.store import MATRIX, write_record

RUNS = ("20261120T010000Z-0001", "20261121T010000Z-0002", "20261122T010000Z-0003", "20261123T010000Z-0004")
MODELS, FORMATS, CHUNKS = ("bitnet", "bitnet-b1.58"), ("F16", "TQ2_0"), ("prefill", "decode")
CANDIDATES = ("native", "mine", "fragile")
_EXIT_CODES = {"agree": 0, "explained": 0, "noise": 0, "diverged": 1, "reference suspect": 4, **OUTCOMES}


@dataclass(frozen=True)
class Cell:
    model: str
    weight_format: str
    candidate: str
    chunks: str

    def outcome(self, night: int) -> str:
        """How it ended in a night, counted from 0."""
        if self.model == "bitnet-b1.58" and self.candidate != "native":
            return "not compared"
        if self.candidate == "fragile" and night >= 1:
            return "engine failed" if self.chunks == "prefill" else "hung"
        if self.candidate == "mine":
            return self._outcome_of_mine(night)
        return "explained" if self.weight_format == "TQ2_0" else "agree"

    def _outcome_of_mine(self, night: int) -> str:
        if night == 3 and self.weight_format == "F16":
            return "noise" if self.chunks == "prefill" else "worker lost"
        return "diverged" if night >= 2 else "agree"


def cells() -> list[Cell]:
    return [Cell(*axes) for axes in product(MODELS, FORMATS, CANDIDATES, CHUNKS)]


def sample_records() -> Iterator[Record]:
    """A record for every cell and night."""
    for night, run in enumerate(RUNS):
        for number, cell in enumerate(cells()):
            yield _record(cell, number, night, run)


def write_samples(folder: Path) -> None:
    """The records and the matrix of every run."""
    for record in sample_records():
        write_record(record, folder)
    for run in RUNS:
        matrix = {"cells": [f"{number:016x}" for number in range(len(cells()))]}
        (folder / run / MATRIX).write_text(json.dumps(matrix))


def _record(cell: Cell, number: int, night: int, run: str) -> Record:
    outcome = cell.outcome(night)
    record = Record(
        run=run,
        cell=f"{number:016x}",
        model=cell.model,
        weight_format=cell.weight_format,
        reference="llama.cpp",
        candidate=cell.candidate,
        threads=1,
        chunks=cell.chunks,
        prompt="lists",
        outcome=outcome,
        exit_code=_EXIT_CODES[outcome],
        required="noise",
        sentence=f"{cell.candidate} and llama.cpp: {outcome}",
        attempts=2 if outcome in ("engine failed", "hung", "worker lost") else 1,
        date=f"2026-11-{20 + night}T01:00:{number:02}+00:00",
        seconds=0.5 + number / 10,
        host="builder",
        system="Linux-6.1 x86_64",
        cpu="A processor",
        python="3.11.2",
        bitparity_version="0.1.0",
        bitparity_commit=f"{night // 2}" * 40,
        command=f"bitparity compare {cell.model} --candidate {cell.candidate} --chunks {cell.chunks}",
    )
    return replace(record, **_measured(outcome), **_fingerprints(cell, night)) if _ran(outcome) else record


def _ran(outcome: str) -> bool:
    return outcome in ("agree", "explained", "noise", "diverged", "engine failed")


def _measured(outcome: str) -> dict[str, Any]:
    apart = {"agree": 0.0, "explained": 4e-3, "noise": 8e-3, "diverged": 0.3, "engine failed": 0.0}[outcome]
    compared = 5 if outcome == "engine failed" else 91
    verdict = "agree" if outcome == "engine failed" else outcome
    counts = {name: 0 for name in ("agree", "explained", "noise", "diverged")} | {verdict: compared}
    return {
        "asked": 91,
        "compared": compared,
        **counts,
        "first_position": 3 if outcome == "diverged" else None,
        "mean_relative_l2": apart / 2,
        "max_relative_l2": apart,
        "max_one_minus_cosine": apart**2 / 2,
        "max_abs": apart * 10,
        "mean_kl": apart**2 / 4,
        "max_kl": apart**2,
        "same_best": 0.75 if outcome == "diverged" else 1.0,
    }


def _fingerprints(cell: Cell, night: int) -> dict[str, Any]:
    build = "fedcba9876543210" if cell.candidate == "mine" and night >= 2 else "0123456789abcdef"
    values: dict[str, Any] = {"model_path": f"{cell.model}.gguf", "model_blake3": "ab" * 32}
    values |= {f"candidate_{name}": value for name, value in values.items()}
    for side, engine, digest in (("reference", "llama.cpp", "c0" * 8), ("candidate", cell.candidate, build)):
        values |= {
            f"{side}_engine": engine,
            f"{side}_version": "1.0",
            f"{side}_compiler": "gcc 12.2.0",
            f"{side}_isa": "avx2+fma+f16c",
            f"{side}_kernels": "avx2",
            f"{side}_arithmetic": "llama.cpp/avx2/gcc",
            f"{side}_digest": f"lib{engine}.so {digest}",
            f"{side}_fingerprint": json.dumps({"engine": engine, "threads": 1}),
        }
    return values


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
