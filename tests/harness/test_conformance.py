"""`check-engine`: a sound engine keeps every promise, and each planted fault breaks the promise it should."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from bitparity import cli
from bitparity.conformance.check import CHECKS, State
from bitparity.conformance.run import Conformance, check_names, run_check, run_checks
from bitparity.conformance.subject import Subject
from bitparity.engine import Engine, Floats, Session, Sink, StageValue
from bitparity.errors import BadInput, CannotTokenize, EngineFailed, EngineUnavailable
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.registry import get_engine
from bitparity.report.conformance import headline
from bitparity.settings import read_settings
from bitparity.stages import StageFilter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=320, context_length=64))
    return path


@pytest.fixture(scope="module")
def native() -> Engine:
    try:
        engine = get_engine("native")
    except EngineUnavailable as error:
        pytest.skip(str(error))
    return engine


class Session_:
    """A session of another engine, unchanged: faults change one method of it."""

    shared: list[int] = []  # noqa: RUF012 - a mutable global is one of the faults

    def __init__(self, session: Session, threads: int) -> None:
        self.inner: Any = session
        self.threads, self.calls = threads, 0
        self.has_rolled_back = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        rows: Floats = self.inner.prefill(tokens, logits=logits)
        return rows


def changed(**methods: Callable[..., Any]) -> type[Session_]:
    return type("Changed", (Session_,), methods)


class Faulty:
    """The engine that is given, with sessions of another class."""

    name, role = "faulty", "candidate"

    def __init__(self, engine: Engine, session: type[Session_]) -> None:
        self._engine, self._session = engine, session

    def __getattr__(self, name: str) -> Any:
        if name == "perturbed":  # like a stranger's engine it is given another file to run with other weights
            raise AttributeError(name)
        return getattr(self._engine, name)

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> Session:
        opened = self._engine.open(model, context=context, threads=threads, device_id=device_id)
        return self._session(opened, threads)


def subject_of(engine: Engine, model: Path) -> Subject:
    return Subject(engine, open_model(model), read_settings(), threads=2)


@pytest.fixture
def checked(native: Engine, model: Path) -> Iterator[Callable[[type[Session_], str], Any]]:
    """Outcome of one check on native with sessions of this class."""
    subjects = []

    def run(session: type[Session_], name: str) -> Any:
        subjects.append(subject_of(Faulty(native, session), model))  # type: ignore[arg-type]
        return run_check(CHECKS[name], subjects[-1])

    yield run
    for subject in subjects:
        subject.close()


def test_sound_engine_keeps_every_promise(native: Engine, model: Path) -> None:
    subject = subject_of(native, model)
    found = run_checks(subject)
    subject.close()
    assert {outcome.name: outcome.state for outcome in found.outcomes} == dict.fromkeys(
        check_names(), State.HOLDS
    )
    assert found.exit_code == 0
    assert headline(found) == f"native keeps the contract: {len(CHECKS)} promises held"
    said = {outcome.name: outcome.said for outcome in found.outcomes}
    assert said["rollback"].startswith("to the bit")
    assert "where rounding explains" in said["decode-is-prefill"]


def _unsteady(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    self.calls += 1
    rows: Floats = self.inner.prefill(tokens, **options) * np.float32(1 + 1e-6 * self.calls)
    return rows


def _of_the_batch(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    """One scale for all rows, as of activations that are quantised together."""
    rows: Floats = self.inner.prefill(tokens, **options) * np.float32(1 + 1e-6 * sum(tokens))
    return rows


def _global(self: Any, token: int) -> Floats:
    before = self.shared[-1] if self.shared else 0
    self.shared.append(token)
    rows: Floats = self.inner.decode(token) * np.float32(1 + 1e-6 * before)
    return rows


def _keeps_one(self: Any, to: int) -> None:
    self.inner.rollback(to if to == 0 else min(to + 1, self.inner.position))


def _remembers(self: Any, to: int) -> None:
    self.has_rolled_back = to > 0
    self.inner.rollback(to)


def _after_rollback(self: Any, token: int) -> Floats:
    rows: Floats = self.inner.decode(token) * np.float32(1.5 if self.has_rolled_back else 1)
    return rows


def _log_softmax(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    rows = self.inner.prefill(tokens, **options).astype(np.float64)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return np.asarray(rows, np.float32)


def _raise_in_close(self: Any) -> None:
    raise ValueError("double free")


@contextmanager
def _misnamed(self: Any, stages: StageFilter, sink: Sink) -> Iterator[None]:
    def other(value: StageValue) -> None:
        width = value.values[..., :-1] if value.stage == "ffn_act" else value.values
        sink(StageValue(value.layer, value.stage, value.position, value.seq, width))

    with self.inner.tap(stages, other):
        yield


@contextmanager
def _disturbing(self: Any, stages: StageFilter, sink: Sink) -> Iterator[None]:
    decode = self.inner.decode
    self.decode = lambda token: decode(token) * np.float32(1 + 1e-6)
    with self.inner.tap(stages, sink):
        yield
    del self.decode


@contextmanager
def _silent(self: Any, stages: StageFilter, sink: Sink) -> Iterator[None]:
    yield


def _first_as_last(self: Any, tokens: Sequence[int], *, logits: str = "all") -> Floats:
    rows: Floats = self.inner.prefill(tokens)
    return rows[:1] if logits == "last" else rows


def _nan(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    rows: Floats = self.inner.prefill(tokens, **options) * np.float32(np.nan)
    return rows


def _backwards(self: Any, token: int) -> Floats:
    row: Floats = self.inner.decode(token)[::-1].copy()
    return row


def _where_it_can(self: Any, to: int) -> None:
    self.inner.rollback(max(0, min(to, self.inner.position)))


FAULTS = [
    ("shapes", {"decode": lambda s, t: s.inner.decode(t).astype(np.float64)}, "returned float64 where"),
    ("shapes", {"prefill": _nan}, "NaN or infinite"),
    ("shapes", {"prefill": _log_softmax}, "returned log-probabilities where"),
    ("shapes", {"prefill": lambda s, t, **o: np.exp(_log_softmax(s, t, **o))}, "returned probabilities"),
    ("repeats", {"prefill": _unsteady}, "the same prompt again: 12 of 12 positions differ"),
    ("causality", {"prefill": _of_the_batch}, "other tokens after the first 1 of 16: 1 of 1 positions"),
    ("two-sessions", {"decode": _global}, "beside the other"),
    ("tokenizer", {"tokenize": lambda s, t, **o: [*s.inner.tokenize(t, **o), 7]}, "by the file's vocabulary"),
    ("tap", {"tap": _misnamed}, "layer 0 ffn_act at position 0: the shape is"),
    ("tap", {"tap": _disturbing}, "a token with the tap on"),
    ("wrong-ids", {"decode": lambda s, t: s.inner.decode(min(max(t, 0), 319))}, "token id -1 is taken"),
    ("nothing-and-nowhere", {"rollback": _where_it_can}, "rollback to 3 of 2 positions"),
    ("decode-is-prefill", {"decode": _backwards}, "48 of 48 positions differ"),
    ("last-is-last", {"prefill": _first_as_last}, "the last position only: 1 of 1"),
    ("last-is-last", {"prefill": lambda s, t, **o: s.inner.prefill(t)}, "shape (9, 320) where"),
    ("rollback", {"rollback": _keeps_one}, "after rollback the session is at"),
    ("rollback", {"rollback": _remembers, "decode": _after_rollback}, "from the calls that are left"),
    ("random-ways", {"rollback": _remembers, "decode": _after_rollback}, "relative L2, noise"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "methods", "message"), FAULTS, ids=[f[0] for f in FAULTS])
def test_planted_fault_breaks_its_promise_and_is_reproduced(
    name: str,
    methods: dict[str, Callable[..., Any]],
    message: str,
    checked: Callable[[type[Session_], str], Any],
) -> None:
    outcome = checked(changed(**methods), name)
    assert outcome.state in (State.BROKEN, State.FAILED)  # what is returned wrongly is the engine's failure
    assert message in outcome.said
    assert ".gguf'), context=64, threads=1)" in outcome.reproduction[0]


def _at_once(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    if self.inner.position + len(tokens) == 64:
        raise BadInput("one position is mine")
    rows: Floats = self.inner.prefill(tokens, **options)
    return rows


def _with_threads(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    rows: Floats = self.inner.prefill(tokens, **options) * np.float32(1 if self.threads == 1 else 1.5)
    return rows


def _in_chunks(self: Any, tokens: Sequence[int], **options: Any) -> Floats:
    is_first = self.inner.position == 0
    rows: Floats = self.inner.prefill(tokens, **options) * np.float32(1 if is_first else 1.5)
    return rows


@pytest.mark.parametrize(
    ("name", "prefill", "message"),
    [
        ("too-long", _at_once, "64 tokens at position 0 of 64 are refused: one position is mine"),
        ("threads", _with_threads, "2 threads instead of one: 48 of 48 positions differ"),
        ("chunks-are-prefill", _in_chunks, "in chunks of 7: 41 of 48 positions differ, from position 7 on"),
    ],
)
def test_fault_of_a_prompt_breaks_its_promise(
    name: str,
    prefill: Callable[..., Floats],
    message: str,
    checked: Callable[[type[Session_], str], Any],
) -> None:
    outcome = checked(changed(prefill=prefill), name)
    assert outcome.state is State.BROKEN
    assert message in outcome.said


def test_reproduction_is_the_calls_in_order(
    checked: Callable[[type[Session_], str], Any], model: Path
) -> None:
    ids = subject_of(get_engine("native"), model).text(12)
    opening, *calls = checked(changed(prefill=_unsteady), "repeats").reproduction
    assert opening == f"session = open_engine('faulty').open(Path({str(model)!r}), context=64, threads=1)"
    assert calls == [f"session.prefill({ids})", "session.rollback(0)", f"session.prefill({ids})"]


def test_engine_that_fails_does_not_end_the_other_checks(native: Engine, model: Path) -> None:
    def dies(self: Any, token: int) -> Floats:
        raise EngineFailed("faulty", "crashed (SIGSEGV)")

    subject = subject_of(Faulty(native, changed(decode=dies)), model)  # type: ignore[arg-type]
    found = run_checks(subject, ["shapes", "repeats", "rollback"])
    subject.close()
    assert [o.state for o in found.outcomes] == [State.FAILED, State.HOLDS, State.FAILED]
    assert found.outcomes[0].said == "faulty crashed (SIGSEGV)"
    assert found.outcomes[2].reproduction[-1].startswith("clean.decode(")
    assert found.exit_code == 5
    assert headline(found) == "faulty: 1 of 3 promises held; 2 failed"


def test_close_that_raises_is_found(checked: Callable[[type[Session_], str], Any]) -> None:
    outcome = checked(changed(close=_raise_in_close), "closing")
    assert outcome.state is State.FAILED
    assert "raised ValueError; its last words: double free" in outcome.said


def test_difference_is_not_judged_where_rounding_cannot_be_measured(native: Engine, model: Path) -> None:
    """An engine that runs a file of its own, say, cannot be run with other weights."""

    class OnlyThisModel(Faulty):
        def open(self, path: Path, **options: Any) -> Session:  # type: ignore[override]
            if path != model:
                raise BadInput(f"{path} is not my model")
            return super().open(path, **options)

    subject = subject_of(OnlyThisModel(native, Session_), model)  # type: ignore[arg-type]
    found = run_checks(subject, ["decode-is-prefill", "chunks-are-prefill", "random-ways"])
    subject.close()
    assert [o.state for o in found.outcomes] == [State.NOT_JUDGED, State.HOLDS, State.NOT_JUDGED]
    assert "is not my model" in found.outcomes[0].said
    assert found.exit_code == 4


def test_what_an_engine_need_not_have_is_absent(native: Engine, model: Path) -> None:
    def no_tokenizer(self: Any, text: str, **options: Any) -> list[int]:
        raise CannotTokenize("none")

    session = changed(tap=_silent, tokenize=no_tokenizer)
    subject = subject_of(Faulty(native, session), model)  # type: ignore[arg-type]
    found = run_checks(subject, ["tap", "tokenizer", "closing"])
    subject.close()
    assert [o.state for o in found.outcomes].count(State.ABSENT) == 2
    assert found.exit_code == 0
    assert Conformance("x", "m", {}, tuple(o for o in found.outcomes if o.name == "tap")).exit_code == 4


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_command_prints_promises_and_how_to_see_a_broken_one_again(
    native: Engine,
    model: Path,
    announce: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce(Faulty(native, changed(prefill=_unsteady)))
    words = ["check-engine", "faulty", str(model), "--only", "repeats", "--only", "wrong-ids"]
    assert bitparity(monkeypatch, *words, "--json", str(tmp_path / "c.json")) == 1
    said = capsys.readouterr().out
    assert "BROKEN      repeats" in said
    assert f"repeat: bitparity check-engine faulty {model} --only repeats" in said.replace("\n", "")
    kept = json.loads((tmp_path / "c.json").read_text())
    assert {check["name"]: check["state"] for check in kept["checks"]}["repeats"] == "broken"
    assert kept["exit_code"] == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["native", "--only", "speed"], 2, "'speed' is none; there are shapes, "),
        (["nobody"], 2, "no engine is named 'nobody'"),
        (["oracle", "no-such.gguf"], 2, "no-such.gguf"),
    ],
)
def test_bad_use_is_exit_2(
    words: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bitparity(monkeypatch, "check-engine", *words) == code
    assert message in capsys.readouterr().err
