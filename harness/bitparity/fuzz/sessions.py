"""Engines as implementations under test, and random ways through a session.

A way is a list of steps over one fixed text: prefill some tokens, decode one, roll back, start again.
However a session got to a position, its logits there must be those of one straight prefill, to the noise
that the engine has with itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.metrics import relative_l2
from bitparity.engine import Engine, Session
from bitparity.errors import EngineUnavailable
from bitparity.formats import MODEL_FORMATS
from bitparity.formats.table_lookup import kernel_config_of
from bitparity.fuzz.cases import OF_SESSIONS
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.violation import expect
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.registry import engine_names, get_engine, with_every_kernel_set
from bitparity.settings import Settings

CONTEXT = 64
# Texts that the noise is measured on.  In Q8_K a rounding flips in 45 of 200 of them, and a flip is a
# thousand times the rest: 24 texts without one have a chance of 0.2 %.
TEXTS = 24
Step = tuple[Literal["prefill", "decode", "rollback", "reset"], int]


@dataclass(frozen=True)
class SessionCase:
    """seed of the text, and steps: ("prefill", n), ("decode", 1), ("rollback", by), ("reset", 0)."""

    seed: int
    steps: tuple[Step, ...]

    def tokens(self, n_vocab: int) -> list[int]:
        rng = np.random.default_rng(self.seed)
        return [int(token) for token in rng.integers(3, n_vocab, CONTEXT)]

    def without_what_was_undone(self) -> SessionCase:
        """The same calls at the positions that are left at the end, each as long as what is left of it.

        A row's bits may depend on whether it was computed alone, so of a prefill that is rolled back to
        its first token two are computed here, and one is rolled back.
        """
        computed: list[tuple[int, int]] = []  # of each position: which step, how many tokens it computed
        for i, (step, count) in enumerate(self.steps):
            if step in ("reset", "rollback"):
                del computed[0 if step == "reset" else max(0, len(computed) - count) :]
            else:
                n = min(count if step == "prefill" else 1, CONTEXT - len(computed))
                computed += [(i, n)] * n
        left: list[Step] = []
        for (i, n), positions in groupby(computed):
            kept = len(list(positions))
            alone = kept == 1 < n
            left.append((self.steps[i][0], 2 if alone else kept))
            if alone:
                left.append(("rollback", 1))
        return SessionCase(self.seed, tuple(left))


class SessionsUnderTest:
    """Sessions to go random ways with, and how far the engine is from itself.

    opened  weight format, and a name for what the session is used for -> a session at position 0, the same
            one for the same two
    """

    def __init__(self, opened: Callable[[str, str], Session]) -> None:
        self._opened = opened
        self._noise: dict[str, float] = {}
        self._repeat_noise: dict[str, float] = {}

    def session(self, weight_format: str) -> Session:
        """The session of this format that goes every way, at position 0."""
        return self._opened(weight_format, "walks")

    def clean_session(self, weight_format: str) -> Session:
        """Another session of the same model, at position 0."""
        return self._opened(weight_format, "clean")

    def noise(self, weight_format: str) -> float:
        """Largest relative L2 between a prefill and single decodes of the same tokens, over some texts."""
        if weight_format not in self._noise:
            self._noise[weight_format] = max(self._decode_noise(weight_format, seed) for seed in range(TEXTS))
        return self._noise[weight_format]

    def repeat_noise(self, weight_format: str) -> float:
        """Largest relative L2 between a prefill and the start of a longer one, over some texts: 0 where a
        call gives the same bits whenever it is made, and however many tokens follow."""
        if weight_format not in self._repeat_noise:
            self._repeat_noise[weight_format] = max(
                self._prefix_noise(weight_format, seed) for seed in range(TEXTS)
            )
        return self._repeat_noise[weight_format]

    def _decode_noise(self, weight_format: str, seed: int) -> float:
        session = self.clean_session(weight_format)
        tokens = SessionCase(seed, ()).tokens(session.info.n_vocab)[: CONTEXT // 2]
        together = session.prefill(tokens).copy()
        session.rollback(0)
        one_by_one = np.stack([session.decode(token) for token in tokens])
        return largest_relative_l2(together, one_by_one)

    def _prefix_noise(self, weight_format: str, seed: int) -> float:
        session = self.clean_session(weight_format)
        tokens = SessionCase(seed, ()).tokens(session.info.n_vocab)[: CONTEXT // 2]
        longer = session.prefill(tokens).copy()
        session.rollback(0)
        kept = 2 + seed
        return largest_relative_l2(longer[:kept], session.prefill(tokens[:kept]))


class EngineUnderTest(SessionsUnderTest):
    """Opens the sessions of an engine, on synthetic models."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(self._session)
        self.engine = engine
        self._folder = tempfile.TemporaryDirectory()
        self._sessions: dict[tuple[str, str], Session] = {}

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._folder.cleanup()

    def _session(self, weight_format: str, use: str) -> Session:
        if (weight_format, use) not in self._sessions:
            path = Path(self._folder.name) / weight_format / "model.gguf"
            if not path.exists():
                _write_model(path, weight_format)
            self._sessions[weight_format, use] = self.engine.open(path, context=CONTEXT, threads=1)
        session = self._sessions[weight_format, use]
        session.rollback(0)
        return session


def _write_model(path: Path, weight_format: str) -> None:
    """A small model; one in TL1 or TL2 with the kernel_config.ini that says how its weights are tiled."""
    path.parent.mkdir()
    tile = OF_SESSIONS.get(weight_format)
    spec = ModelSpec(n_layer=2, n_vocab=512)
    if tile is None:
        make_model(path, replace(spec, weight_format=weight_format))
        return
    source = path.with_name("source.gguf")
    make_model(source, spec)
    projections = [t for t in open_model(source).tensors.values() if t.format == spec.weight_format]
    tilings = {(t.shape[0], t.shape[1]): tile for t in projections}
    convert(source, path, weight_format, tilings=tilings)
    path.with_name("kernel_config.ini").write_text(kernel_config_of(tilings))


def largest_relative_l2(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """Over rows, which are positions; NaN stays NaN."""
    return float(np.max([relative_l2(*rows) for rows in zip(expected, actual, strict=True)]))


def walk(session: Session, case: SessionCase) -> list[tuple[int, NDArray[Any]]]:
    """Take the steps, cut where they do not fit; returns (position, logits) in the order they were computed.

    Raises Violation when the session is not where the steps lead.
    """
    tokens = case.tokens(session.info.n_vocab)
    seen: list[tuple[int, NDArray[Any]]] = []
    at = 0
    for step, count in case.steps:
        if step in ("reset", "rollback"):
            at = 0 if step == "reset" else max(0, at - count)
            session.rollback(at)
        elif at < CONTEXT:
            chunk = tokens[at : at + (count if step == "prefill" else 1)]
            logits = session.prefill(chunk) if step == "prefill" else session.decode(chunk[0])[None]
            seen += [(at + i, row.copy()) for i, row in enumerate(logits)]
            at += len(chunk)
        expect(session.position == at, f"after {step} the session is at {session.position}, not at {at}")
    return seen


def engines(settings: Settings) -> list[Implementation]:
    """Every announced engine that is here, with every kernel set of its own and the formats that it runs."""
    found = []
    for name in engine_names():
        try:
            engine = get_engine(name)
            if engine.availability().found:
                found += [engine_under_test(e, n) for n, e in with_every_kernel_set(engine).items()]
        except EngineUnavailable:
            continue
    return found


def engine_under_test(engine: Engine, name: str | None = None) -> Implementation:
    """name  what the implementation is called; the engine's own name unless given"""
    opened = EngineUnderTest(engine)
    runs = [name for name in MODEL_FORMATS if engine.refusal("bitnet", {name, "F16", "F32"}) is None]
    give: Callable[..., Any] = lambda: opened  # noqa: E731
    return Implementation(name or engine.name, {("session", name): give for name in runs}, close=opened.close)
