"""The engine under test with one model: sessions that keep a diary, and how far rounding moves its logits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import cached_property
from typing import Literal

import numpy as np

from bitparity.conformance.check import NotJudged
from bitparity.engine import Engine, Floats, ModelInfo, Session, Sink, typed_name
from bitparity.errors import BitparityError, EngineFailed
from bitparity.fuzz.sessions import CONTEXT, SessionCase
from bitparity.model.types import Model
from bitparity.noise.criterion import EXACTNESS, MULTIPLE
from bitparity.noise.measure import measure_rounding
from bitparity.runs import open_session
from bitparity.settings import Settings
from bitparity.stages import StageFilter


class Subject:
    """One engine with one model.

    threads  that "many threads" stands for; all else runs on one
    lines    the diary of the check that runs: its calls, a line of Python each

    Sessions stay open from check to check; one that failed is opened again for the next check.
    """

    def __init__(
        self,
        engine: Engine,
        model: Model,
        settings: Settings,
        *,
        threads: int = 2,
        device_id: int | None = None,
    ) -> None:
        self.engine, self.model, self.settings = engine, model, settings
        self.threads, self.device_id = threads, device_id
        self.lines: list[str] = []
        self._open: dict[tuple[str, int], tuple[Session, ExitStack]] = {}
        self._named: set[str] = set()

    def begin(self) -> None:
        """Begin the diary of another check."""
        self.lines.clear()
        self._named.clear()

    def session(self, name: str = "session", *, threads: int = 1) -> Diary:
        """The session of that name, at position 0."""
        key = name, threads
        if key in self._open and getattr(self._open[key][0], "has_failed", False):
            self._close(key)
        if key not in self._open:
            stack = ExitStack()
            self._open[key] = stack.enter_context(self.opened(threads)), stack
        diary = Diary(self._open[key][0], name, self.lines)
        if name in self._named:
            diary.rollback(0)
        else:
            self._write_opening(name, threads)
            self._open[key][0].rollback(0)
        return diary

    def new_session(self, name: str) -> Diary:
        """A session of that name that nothing was run on."""
        self._close((name, 1))
        return self.session(name)

    def opened(self, threads: int = 1) -> AbstractContextManager[Session]:
        return open_session(
            self.engine,
            self.model,
            context=CONTEXT,
            settings=self.settings,
            threads=threads,
            device_id=self.device_id,
        )

    def text(self, length: int = CONTEXT, *, seed: int = 0) -> list[int]:
        """Token ids to run; other seeds give other ids."""
        return SessionCase(seed, ()).tokens(self.model.hyper.n_vocab)[:length]

    @cached_property
    def limit(self) -> float:
        """Relative L2 that rounding explains, measured on the engine itself; NotJudged if that cannot be."""
        try:
            with self.opened() as session:
                rounding = measure_rounding(
                    session, self.engine, self.model, self.text(), settings=self.settings, threads=1
                )
        except (BitparityError, OSError) as error:
            raise NotJudged(f"what rounding explains could not be measured: {error}") from error
        return float(np.maximum(MULTIPLE * rounding.relative_l2, EXACTNESS))

    def close(self) -> None:
        for key in list(self._open):
            self._close(key)

    def _close(self, key: tuple[str, int]) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            with suppress(EngineFailed):  # closing has a check of its own
                found[1].close()

    def _write_opening(self, name: str, threads: int) -> None:
        self._named.add(name)
        where = f"Path({str(self.model.path)!r}), context={CONTEXT}, threads={threads}"
        if self.device_id is not None:
            where += f", device_id={self.device_id}"
        self.lines.append(f"{name} = open_engine({typed_name(self.engine)!r}).open({where})")


class Diary:
    """A session that writes down what it is asked."""

    def __init__(self, session: Session, name: str, lines: list[str]) -> None:
        self._session, self._name, self._lines = session, name, lines

    @property
    def info(self) -> ModelInfo:
        return self._session.info

    @property
    def position(self) -> int:
        return self._session.position

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        self._write(f"tokenize({text!r}, add_bos={add_bos}, parse_special={parse_special})")
        return self._session.tokenize(text, add_bos=add_bos, parse_special=parse_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        self._write(f"detokenize({list(ids)})")
        return self._session.detokenize(ids)

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        self._write(f"prefill({list(tokens)}" + (")" if logits == "all" else f', logits="{logits}")'))
        return self._session.prefill(tokens, logits=logits)

    def decode(self, token: int) -> Floats:
        self._write(f"decode({token})")
        return self._session.decode(token)

    def rollback(self, to: int) -> None:
        self._write(f"rollback({to})")
        self._session.rollback(to)

    def tap(self, stages: StageFilter, sink: Sink) -> AbstractContextManager[None]:
        return self._session.tap(stages, sink)

    def close(self) -> None:
        self._session.close()

    def _write(self, call: str) -> None:
        self._lines.append(f"{self._name}.{call}")
