"""A class that somebody's package announces as an engine, run in worker processes.

One worker is asked what the class says of itself; every session has another, so that none takes a second with
it when it ends.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

from bitparity.engine import (
    Availability,
    Configurable,
    Fingerprint,
    FollowsReference,
    ModelInfo,
    Role,
    Session,
    role_of,
)
from bitparity.engines.forward import ForwardSession
from bitparity.engines.loaded import digests
from bitparity.engines.model_facts import model_facts
from bitparity.errors import BitparityError, EngineUnavailable
from bitparity.model.types import Model
from bitparity.stage_map import StageMap
from bitparity.worker.session import WorkerSession
from bitparity.worker.worker import TIME_LIMIT, Worker


@dataclass(frozen=True)
class Announced:
    """An announced class, and what was chosen of it; `make` makes the engine.

    name     as it was announced
    version  of the package that announces it
    point    entry point, `package.module:Class`
    """

    name: str
    version: str
    point: EntryPoint
    chosen: Mapping[str, str] = field(default_factory=dict)
    reference: Fingerprint | None = None

    def make(self) -> Any:
        """Raises EngineUnavailable when the class cannot be loaded."""
        engine = self._load()
        if self.chosen:
            engine = engine.configured(**self.chosen)
        if self.reference is not None and isinstance(engine, FollowsReference):
            return engine.following(self.reference)
        return engine

    def _load(self) -> Any:
        try:
            return self.point.load()()
        except BitparityError:
            raise
        except Exception as error:
            raise EngineUnavailable(
                f"engine {self.name!r} cannot be loaded from {self.point.value}: {error}"
            ) from error


class PythonEngine:
    """The engine of an announced class; every method may raise EngineFailed.

    Of `bitparity.engine.Engine` the class must have `open`; its session is a `bitparity.engine.Session` or a
    `bitparity.engines.forward.Forward`.
    """

    def __init__(self, announced: Announced) -> None:
        self.name = announced.name
        self._announced, self._time_limit = announced, TIME_LIMIT
        self._model: Model | None = None
        self._stage_map = StageMap()
        self._worker: Worker | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_worker": None}

    @property
    def role(self) -> Role:
        return cast(Role, self._ask("role"))

    def availability(self) -> Availability:
        return cast(Availability, self._ask("availability"))

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        return cast("str | None", self._ask("refusal", arch, weight_formats))

    def choices(self) -> Mapping[str, Sequence[str]]:
        """As bitparity.engine.Configurable says; none where the class is not configurable."""
        return cast(Mapping[str, Sequence[str]], self._ask("choices"))

    def configured(self, **chosen: str) -> PythonEngine:
        """As bitparity.engine.Configurable says."""
        return self._changed(chosen={**self._announced.chosen, **chosen})

    def following(self, reference: Fingerprint) -> PythonEngine:
        """As bitparity.engine.FollowsReference says; the same where the class does not follow."""
        return self._changed(reference=reference)

    def with_time_limit(self, seconds: float) -> PythonEngine:
        """As bitparity.engine.TimeLimited says."""
        limited = copy(self)
        limited._time_limit = seconds
        return limited

    def informed_of(self, model: Model) -> PythonEngine:
        """As bitparity.engine.Informed says."""
        informed = copy(self)
        informed._model = model
        return informed

    def with_stage_map(self, stage_map: StageMap) -> PythonEngine:
        """As bitparity.engine.NamesStages says.  It counts where sessions of the class are a Forward."""
        mapped = copy(self)
        mapped._stage_map = stage_map
        return mapped

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> WorkerSession:
        options = {"context": context, "threads": threads, "device_id": device_id}
        fingerprint = Fingerprint(self.name, self._announced.version, "", "", "", threads, "")
        info = model_facts(model, self._model, context, fingerprint)
        arguments = {"announced": self._announced, "model": model, "options": options, "info": info}
        arguments["stage_map"] = self._stage_map
        return WorkerSession(self.name, _open, arguments, time_limit=self._time_limit)

    def _changed(self, **changes: Any) -> PythonEngine:
        changed = copy(self)
        changed._announced = replace(self._announced, **changes)
        return changed

    def _ask(self, method: str, *arguments: Any) -> Any:
        if self._worker is None:
            made = {"announced": self._announced}
            self._worker = Worker(self.name, _InWorker, made, time_limit=self._time_limit)
            weakref.finalize(self, self._worker.close)
        return self._worker.call(method, *arguments)


class _InWorker:
    """What an engine says of itself, with what is true of one that does not say it."""

    def __init__(self, announced: Announced) -> None:
        self._announced, self._engine = announced, announced.make()

    def role(self) -> Role:
        return role_of(self._engine)

    def availability(self) -> Availability:
        if hasattr(self._engine, "availability"):
            return cast(Availability, self._engine.availability())
        return Availability(True, f"{self._announced.point.value} {self._announced.version}".strip())

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        if hasattr(self._engine, "refusal"):
            return cast("str | None", self._engine.refusal(arch, weight_formats))
        return None

    def choices(self) -> dict[str, list[str]]:
        if not isinstance(self._engine, Configurable):
            return {}
        return {choice: list(names) for choice, names in self._engine.choices().items()}


def _open(
    announced: Announced, model: Path, options: dict[str, Any], info: ModelInfo, stage_map: StageMap
) -> Session:
    """Open a session; called in the worker.  The info is for one that says nothing of its model."""
    engine = announced.make()
    session = engine.open(model, **options)
    if hasattr(session, "prefill"):
        return cast(Session, _Named(session, announced.name))
    details = {"libraries": digests([Path(inspect.getfile(type(engine)))])}
    fingerprint = replace(info.fingerprint, details=details)
    return ForwardSession(session, replace(info, fingerprint=fingerprint), stage_map)


class _Named:
    """A session that goes by the name that its engine was announced with."""

    def __init__(self, session: Any, name: str) -> None:
        self._session, self._name = session, name

    @property
    def info(self) -> ModelInfo:
        info: ModelInfo = self._session.info
        return replace(info, fingerprint=replace(info.fingerprint, engine=self._name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
