"""A shared library as an engine: what an author writes in C, C++, Rust, Go or Zig against engine.h."""

from __future__ import annotations

import re
from copy import copy
from pathlib import Path

from bitparity.engine import Availability, Fingerprint, Role
from bitparity.engines.c_functions import open_library
from bitparity.engines.model_facts import model_facts
from bitparity.errors import BadInput
from bitparity.model.types import Model
from bitparity.stage_map import StageMap
from bitparity.worker.session import WorkerSession
from bitparity.worker.worker import TIME_LIMIT

_NAME = re.compile(r"\.(so|dylib|dll)(\.\d+)*$")


def names_library(text: str) -> bool:
    """Whether a text is the name of a shared library, by its ending."""
    return _NAME.search(text) is not None


class LibraryEngine:
    """Opens sessions of a library, each in a worker.

    path        of the library; the engine's name is that of the file without lib and its ending

    Raises BadInput when there is no such file.
    """

    role: Role = "candidate"

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise BadInput(f"{path}: there is no such library")
        self.given = str(path)
        self.name = _NAME.sub("", path.name).removeprefix("lib") or path.name
        self._path, self._time_limit = path.resolve(), TIME_LIMIT
        self._model: Model | None = None
        self._stage_map = StageMap()

    def availability(self) -> Availability:
        return Availability(True, f"the library {self.given}")

    def with_time_limit(self, seconds: float) -> LibraryEngine:
        """As bitparity.engine.TimeLimited says."""
        limited = copy(self)
        limited._time_limit = seconds
        return limited

    def informed_of(self, model: Model) -> LibraryEngine:
        """As bitparity.engine.Informed says."""
        informed = copy(self)
        informed._model = model
        return informed

    def with_stage_map(self, stage_map: StageMap) -> LibraryEngine:
        """As bitparity.engine.NamesStages says."""
        mapped = copy(self)
        mapped._stage_map = stage_map
        return mapped

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        """A library says what it cannot run when it opens it."""
        return None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> WorkerSession:
        fingerprint = Fingerprint(self.name, "", "", "", "", threads, "")
        arguments = {
            "library": self._path,
            "model": model,
            "context": context,
            "threads": threads,
            "stage_map": self._stage_map,
            "device": -1 if device_id is None else device_id,
            "info": model_facts(model, self._model, context, fingerprint),
        }
        return WorkerSession(self.name, open_library, arguments, time_limit=self._time_limit)
