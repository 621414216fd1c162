"""The same as replay.c in Python: an engine class that a package might announce."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.engine import Availability, Fingerprint, ModelInfo
from bitparity.engines.forward import ForwardSession
from bitparity.model import open_model

FAULT_AT = 17


def raise_bug() -> None:
    raise ValueError("a bug")


def exceed_memory() -> None:
    """As if the machine had 1 GB."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    held = []
    while True:
        held.append(bytearray(1 << 26))


def write_rubbish() -> None:
    """Into every file that it has not opened."""
    for file in range(64):
        try:
            os.write(file, b"x" * 64)
        except OSError:
            continue


FAULTS: dict[str, Callable[[], object]] = {
    "segv": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "quit": lambda: sys.exit(0),
    "raise": raise_bug,
    "hang": lambda: time.sleep(600),
    "memory": exceed_memory,
    "rubbish": write_rubbish,
}
# What a call returns instead of float32 (n, n_vocab)
RETURNS: dict[str, Callable[[Any], object]] = {
    "list": lambda rows: rows.tolist(),
    "none": lambda rows: None,
    "float64": lambda rows: rows.astype(np.float64),
    "float16": lambda rows: rows.astype(np.float16),
    "padding": lambda rows: np.pad(rows, ((0, 0), (0, 32))),
    "last row": lambda rows: rows[-1:],
    "flat": lambda rows: rows.reshape(-1),
    "log-probabilities": lambda rows: log_softmax(rows),
    "probabilities": lambda rows: np.exp(log_softmax(rows)),
}


def log_softmax(rows: Any) -> Any:
    return (rows - np.log(np.exp(rows.astype(np.float64)).sum(axis=1, keepdims=True))).astype(np.float32)


class ReplaySession:
    """Forward at a position, and nothing else."""

    def __init__(self, model: Path) -> None:
        data = Path(f"{model}.logits").read_bytes()
        self.n_vocab = int(np.frombuffer(data[:4], "<i4")[0])
        self._rows = np.frombuffer(data[4:], "<f4").reshape(-1, self.n_vocab)

    def forward(self, ids: Sequence[int], position: int) -> object:
        fault, end = os.environ.get("REPLAY_FAULT", ""), position + len(ids)
        rows = self._rows[position:end].copy()
        if position <= FAULT_AT < end:
            sys.stderr.write("about to fail\n")
            sys.stderr.flush()
            FAULTS.get(fault, lambda: None)()
            if fault == "nan":
                rows[FAULT_AT - position, 5] = np.nan
        return RETURNS[fault](rows) if fault in RETURNS else rows

    def close(self) -> None:
        if os.environ.get("REPLAY_FAULT") == "close":
            os.abort()


class Replay:
    """All that a class must have."""

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None) -> ReplaySession:
        return ReplaySession(model)


class Whole(Replay):
    """With all that a class may have besides: it says what it is, is configured and follows."""

    name = "by another name"
    role = "reference"

    def __init__(self, kernels: str = "auto", reference: str = "nobody") -> None:
        self.kernels, self.reference = kernels, reference

    def availability(self) -> Availability:
        FAULTS.get(os.environ.get("REPLAY_LOOK", ""), lambda: None)()
        return Availability(True, f"kernels {self.kernels}")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        return "it runs llama only" if arch != "bitnet" else None

    def choices(self) -> dict[str, list[str]]:
        return {"kernels": ["wide", "narrow"]}

    def configured(self, **chosen: str) -> Whole:
        return Whole(chosen["kernels"], self.reference)

    def following(self, reference: Fingerprint) -> Whole:
        return Whole(self.kernels, reference.engine)

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None) -> Any:
        fingerprint = Fingerprint(
            self.name, "7", "", "", self.kernels, threads, "f16", {"to": self.reference}
        )
        return ForwardSession(ReplaySession(model), ModelInfo.of(open_model(model), context, fingerprint))
