"""A shared library as an engine: what an author writes in C, C++, Rust, Go or Zig against engine.h."""

from __future__ import annotations

import re
from pathlib import Path

from bitparity.engine import Availability, Fingerprint, Role
from bitparity.engines.c_functions import open_library
from bitparity.engines.model_facts import model_facts
from bitparity.errors import BadInput
from bitparity.model.types import Model
from bitparity.worker.session import WorkerSession
from bitparity.worker.worker import TIME_LIMIT

_NAME = re.compile(r"\.(so|dylib|dll)(\.\d+)*$")


def names_library(text: str) -> bool:
    """Whether a text is the name of a shared library, by its ending."""
    return _NAME.search(text) is not None


class LibraryEngine:
    """Opens sessions of a library, each in a worker.

    path        of the library; the engine's name is that of the file without lib and its ending
    time_limit  seconds of one call after which it counts as hung

    Raises BadInput when there is no such file.
    """

    role: Role = "candidate"

    def __init__(self, path: Path, *, time_limit: float = TIME_LIMIT, model: Model | None = None) -> None:
        if not path.is_file():
            raise BadInput(f"{path}: there is no such library")
        self.given = str(path)
        self.name = _NAME.sub("", path.name).removeprefix("lib") or path.name
        self._path, self._time_limit, self._model = path.resolve(), time_limit, model

    def availability(self) -> Availability:
        return Availability(True, f"the library {self.given}")

    def with_time_limit(self, seconds: float) -> LibraryEngine:
        """As bitparity.engine.TimeLimited says."""
        return LibraryEngine(Path(self.given), time_limit=seconds, model=self._model)

    def informed_of(self, model: Model) -> LibraryEngine:
        """As bitparity.engine.Informed says."""
        return LibraryEngine(Path(self.given), time_limit=self._time_limit, model=model)

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
            "device": -1 if device_id is None else device_id,
            "info": model_facts(model, self._model, context, fingerprint),
        }
        return WorkerSession(self.name, open_library, arguments, time_limit=self._time_limit)
