"""Engines that fail in a benchmark's child, which imports them by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bitparity.engine import Availability
from bitparity.errors import BadInput


def _refuse() -> None:
    raise BadInput("too many tokens")


def _raise() -> None:
    raise ValueError("a bug")


HOW: dict[str, Callable[[], None]] = {
    "abort": os.abort,
    "leave": lambda: os._exit(7),
    "refuse": _refuse,
    "raise": _raise,
}


class FailingEngine:
    """Opens any model; its first prefill fails in the way that it is named after."""

    def __init__(self, name: str) -> None:
        self.name = name

    def availability(self) -> Availability:
        return Availability(True, "a fake")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        return None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> Any:
        def prefill(tokens: Sequence[int], *, logits: str) -> None:
            HOW[self.name]()

        return SimpleNamespace(prefill=prefill, rollback=lambda to: None, close=lambda: None)
