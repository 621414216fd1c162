"""What an engine raises is told as its own failure, in every command; what the harness raises is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bitparity import cli
from bitparity.engine import StageValue
from bitparity.errors import BadInput, EngineFailed
from bitparity.guard import GuardedSession, guard
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.stages import StageFilter

EVERY = StageFilter.parse("*:*")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512, context_length=64))
    return str(path)


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


COMMANDS = {
    "compare": ["compare", "{model}", "--reference", "oracle", "--candidate", "broken"],
    "compare --reference": ["compare", "{model}", "--reference", "broken", "--candidate", "oracle"],
    "compare --blame": ["compare", "{model}", "--reference", "broken", "--candidate", "broken", "--blame"],
    "run": ["run", "{model}", "--engine", "broken"],
    "trace": ["trace", "{model}", "--engine", "broken", "--out", "{folder}"],
    "bench": ["bench", "{model}", "--engine", "oracle", "--engine", "broken", "--prefill", "4"],
}
REACHED = {
    "compare": ["availability", "refusal", "open", "info", "tokenize", "rollback", "prefill", "close"],
    "compare --reference": ["availability", "refusal", "open", "info", "tokenize", "rollback", "prefill"],
    "compare --blame": ["tap"],
    "run": ["availability", "refusal", "open", "info", "tokenize", "prefill", "decode"],
    "trace": ["availability", "refusal", "open", "info", "tokenize", "rollback", "prefill", "tap"],
    "bench": ["availability", "refusal", "open", "info", "rollback", "prefill", "decode"],
}


@pytest.mark.parametrize(
    ("command", "method"), [(c, method) for c, methods in REACHED.items() for method in methods]
)
def test_engine_that_raises_is_exit_5_with_its_words(
    command: str,
    method: str,
    model: str,
    fake_engine: Any,
    announce: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce(fake_engine(name="broken", n_vocab=512, raises_in=method))
    words = [word.format(model=model, folder=tmp_path) for word in COMMANDS[command]]
    prompt = ["--prompt", "ab"] if method == "tokenize" else ["--tokens", "1,2"]
    prompt = [] if command == "bench" else prompt
    assert bitparity(monkeypatch, *words, *prompt) == 5
    said = capsys.readouterr()
    told = " ".join((said.out + said.err).split())
    assert f"broken raised ValueError; its last words: a bug in {method}" in told
    assert "Traceback" not in told


def test_doctor_goes_on_with_the_other_engines(
    fake_engine: Any,
    announce: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce(fake_engine(name="broken", raises_in="availability"))
    assert bitparity(monkeypatch, "doctor") in (0, 4)
    lines = capsys.readouterr().out.splitlines()
    broken = next(line for line in lines if line.startswith("broken"))
    assert broken.split(maxsplit=2)[1:] == [
        "missing",
        "broken raised ValueError; its last words: a bug in availability",
    ]
    assert any(line.startswith("oracle") for line in lines)


@pytest.mark.parametrize(("role", "exit_code"), [("candidate", 4), ("reference", 0)])
def test_doctor_takes_for_a_reference_what_says_so(
    role: str,
    exit_code: int,
    fake_engine: Any,
    announce: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("bitparity.registry.entry_points", lambda **_: [])
    announce(fake_engine("stranger", role=role))
    kept = tmp_path / "doctor.json"
    assert bitparity(monkeypatch, "doctor", "--json", str(kept)) == exit_code
    assert json.loads(kept.read_text())["references_found"] == ["stranger"] * (exit_code == 0)


def test_bitparity_error_of_an_engine_passes(fake_session: Any) -> None:
    session = guard(fake_session(fail_at=0), "fake")
    with pytest.raises(EngineFailed, match=r"aborted \(SIGABRT\)"):
        session.decode(1)
    assert session.has_failed
    refusing: Any = SimpleNamespace(rollback=lambda to: (_ for _ in ()).throw(BadInput("too far")))
    guarded = guard(refusing, "fake")
    with pytest.raises(BadInput, match="too far"):
        guarded.rollback(9)
    assert not guarded.has_failed


def test_words_of_several_lines_stay_one_sentence(fake_session: Any) -> None:
    failure = EngineFailed.raised("fake", ValueError("first\nsecond"))
    assert str(failure) == "fake raised ValueError; its last words: first | second"


def test_logits_of_another_vocabulary_are_the_failure_of_the_engine(fake_session: Any) -> None:
    narrow = fake_session()
    narrow.engine.alter = lambda position, row: row[:-1]
    session = guard(narrow, "fake")
    with pytest.raises(
        EngineFailed,
        match=r"fake returned logits of shape \(2, 63\) where a float32 array of shape \(2, 64\) is needed",
    ):
        session.prefill([1, 2])
    with pytest.raises(EngineFailed, match=r"shape \(63,\)"):
        session.decode(3)
    assert session.has_failed


class TappedSession:
    """A session that hands a value to its sink at every call, and whose tap ends in `at_end`."""

    def __init__(self, at_end: Callable[[], None] = lambda: None) -> None:
        self._sink: Any = None
        self._at_end = at_end

    @contextmanager
    def tap(self, stages: StageFilter, sink: Any) -> Iterator[None]:
        self._sink = sink
        try:
            yield
        finally:
            self._at_end()

    def rollback(self, to: int) -> None:
        self._sink(StageValue(0, "ffn_out", 0, 0, np.zeros((1, 1), np.float32)))


def full_disk(value: StageValue) -> None:
    raise OSError(28, "No space left on device")


def raise_bug() -> None:
    raise ValueError("a bug")


def test_error_of_a_sink_is_not_the_failure_of_the_engine() -> None:
    session = guard(TappedSession(), "fake")  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space left"), session.tap(EVERY, full_disk):
        session.rollback(0)
    assert not session.has_failed


def test_end_of_a_tap_that_raises_is_the_failure_of_the_engine() -> None:
    session = guard(TappedSession(raise_bug), "fake")  # type: ignore[arg-type]
    with pytest.raises(EngineFailed, match="raised ValueError"), session.tap(EVERY, lambda value: None):
        pass
    with pytest.raises(KeyError, match="ours"), session.tap(EVERY, lambda value: None):
        raise KeyError("ours")


def test_session_that_is_guarded_is_guarded_once(fake_session: Any) -> None:
    session = guard(fake_session(), "fake")
    assert isinstance(session, GuardedSession)
    assert guard(session, "fake") is session
