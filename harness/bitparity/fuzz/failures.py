"""The database of failures: shrunk cases as JSON files, one folder a target, tried first by the next run.

Hypothesis has a database of its own but leaves it alone when the seed is given, as it always is here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bitparity.fuzz.cases import BytesCase, ProductCase, WeightCase
from bitparity.fuzz.sessions import SessionCase

CASES: dict[str, Any] = {kind.__name__: kind for kind in (WeightCase, BytesCase, ProductCase, SessionCase)}


class Failures:
    """The remembered cases of one target; without a folder there are none, and none are kept."""

    def __init__(self, folder: Path | None, target: str) -> None:
        self._folder = None if folder is None else folder / hashlib.sha256(target.encode()).hexdigest()[:16]

    def cases(self) -> list[Any]:
        """Remembered cases; files that this version cannot read are left where they are."""
        if self._folder is None or not self._folder.is_dir():
            return []
        read = (_read(path) for path in sorted(self._folder.glob("*.json")))
        return [case for case in read if case is not None]

    def remember(self, case: Any) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(case).write_text(_text(case) + "\n")

    def forget(self, case: Any) -> None:
        """The case no longer fails."""
        if self._folder is not None:
            self._path(case).unlink(missing_ok=True)

    def _path(self, case: Any) -> Path:
        assert self._folder is not None
        return self._folder / (hashlib.sha256(_text(case).encode()).hexdigest()[:16] + ".json")


class FailureList:
    """The same in memory: the cases of one target, on a machine that does not keep them."""

    def __init__(self, remembered: list[Any]) -> None:
        self._remembered = remembered
        self.forgotten: list[Any] = []

    def cases(self) -> list[Any]:
        return list(self._remembered)

    def remember(self, case: Any) -> None:
        self._remembered.append(case)

    def forget(self, case: Any) -> None:
        self.forgotten.append(case)


def _text(case: Any) -> str:
    return json.dumps({"case": type(case).__name__, **asdict(case)})


def _read(path: Path) -> Any:
    try:
        fields = json.loads(path.read_text())
        kind = CASES[fields.pop("case")]
        if "steps" in fields:
            fields["steps"] = tuple((step, count) for step, count in fields["steps"])
        return kind(**fields)
    except (ValueError, KeyError, TypeError):
        return None
