"""Open sessions with the settings applied: what every command that runs an engine has in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from blake3 import blake3

from bitparity.engine import Availability, Engine, Fingerprint, FollowsReference, Informed, Session
from bitparity.errors import EngineFailed, EngineUnavailable, NotCompared
from bitparity.guard import GuardedSession, call, guard
from bitparity.model.gguf_shards import files_of
from bitparity.model.types import Model
from bitparity.settings import Settings
from bitparity.stages import StageFilter
from bitparity.trace.store import TraceWriter, run_name

DEFAULT_CONTEXT = 2048


@contextmanager
def open_session(
    engine: Engine,
    model: Model,
    *,
    context: int,
    settings: Settings,
    threads: int | None = None,
    device_id: int | None = None,
) -> Iterator[GuardedSession]:
    """Open a model with an engine and close the session afterwards; both raise BitparityErrors only.

    BITNET_DETERMINISTIC=1 means one thread, whatever was asked.
    Raises EngineUnavailable with what to type, and NotCompared when the engine refuses this kind of model.
    """
    require_runnable(engine, model)
    threads = settings.threads if settings.deterministic or threads is None else threads
    if isinstance(engine, Informed):
        engine = engine.informed_of(model)
    options = {"context": context, "threads": threads, "device_id": device_id}
    session = guard(call(engine.name, engine.open, model.path, **options), engine.name)
    try:
        yield session
    except BaseException:
        with suppress(EngineFailed):  # the first error says more than one from closing
            session.close()
        raise
    session.close()


def availability_of(engine: Engine) -> Availability:
    """What the engine says of itself; raises EngineFailed when it raises."""
    return call(engine.name, engine.availability)


def refusal_of(engine: Engine, arch: str, weight_formats: set[str]) -> str | None:
    """As Engine.refusal; raises EngineFailed when the engine raises."""
    return call(engine.name, engine.refusal, arch, weight_formats)


def require_available(engine: Engine) -> None:
    """Raise EngineUnavailable, with what to type, when the engine is not there."""
    availability = availability_of(engine)
    if not availability.found:
        raise EngineUnavailable(f"{engine.name} was not found: {availability.what}; {availability.advice}")


def require_runnable(engine: Engine, model: Model) -> None:
    """Raise EngineUnavailable, or NotCompared when the engine refuses this kind of model."""
    require_available(engine)
    refusal = refusal_of(engine, model.hyper.arch, set(model.format_counts()))
    if refusal:
        raise NotCompared(f"{engine.name} cannot run {model.path}: {refusal}")


def follow(engine: Engine, reference: Fingerprint) -> Engine:
    """The engine in the arithmetic of this reference, where the engine can compute in more than one."""
    if not isinstance(engine, FollowsReference):
        return engine
    return call(engine.name, engine.following, reference)


@contextmanager
def tracing(
    session: Session, settings: Settings, *, run: str, stages: str = "*:*", tokens: Sequence[int] = ()
) -> Iterator[None]:
    """Record stages into BITNET_TRACE_DIR/RUN while active; nothing happens when it is not set."""
    if settings.trace_dir is None:
        yield
        return

    fingerprint = session.info.fingerprint
    meta = {"tokens": list(tokens), "stages": stages, "fingerprint": fingerprint.as_dict()}
    with (
        TraceWriter(settings.trace_dir, fingerprint.engine, run=run_name(run), meta=meta) as writer,
        writer.recording(session, StageFilter.parse(stages)),
    ):
        yield


def choose_context(model: Model, needed: int = 0) -> int:
    """Positions to make room for: what is needed or DEFAULT_CONTEXT, at most the model's own length."""
    return min(model.hyper.context_length, max(DEFAULT_CONTEXT, needed))


def file_digest(path: Path) -> str:
    """BLAKE3 of a model file, hex; all cores hash it, and again only when it has changed.

    Of a folder, and of a model in several files, that of their names and digests.
    """
    files = files_of(path)
    if files == [path]:
        return _digest_of_one(path)
    folder = path if path.is_dir() else path.parent
    lines = (f"{file.relative_to(folder).as_posix()} {_digest_of_one(file)}\n" for file in files)
    return blake3("".join(lines).encode()).hexdigest()


def _digest_of_one(path: Path) -> str:
    state = path.stat()
    return _digest(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@lru_cache(maxsize=16)
def _digest(path: Path, state: tuple[int, ...]) -> str:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
