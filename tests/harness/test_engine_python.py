"""A class that a package announces: little is asked of it, and it is kept out of this process."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import pytest

from bitparity import cli, open_engine
from bitparity.engine import Fingerprint, role_of
from bitparity.engines.python import PythonEngine
from bitparity.errors import BadInput, EngineFailed, EngineUnavailable, NotCompared
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.runs import follow, require_runnable
from harness.replaying import TOKENS, TOKENS_TYPED, announce_replay, replayed_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replayed_model(tmp_path_factory.mktemp("models"))


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_class_with_open_alone_is_an_engine_like_any_other(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = announce_replay(monkeypatch)
    words = ["--reference", "oracle", "--candidate", name, "--tokens", TOKENS_TYPED]
    assert bitparity(monkeypatch, "compare", model, *words) == 0
    said = capsys.readouterr().out
    assert "replay-class and oracle agree at all 24 positions" in said
    assert re.search(r"libraries replay\.py [0-9a-f]{16}", said), "the file of the class"
    assert "replay" not in sys.modules  # nor is it imported here
    assert bitparity(monkeypatch, "doctor") in (0, 4)
    assert f"{name} found replay:Replay" in " ".join(capsys.readouterr().out.split())


def test_class_may_say_and_choose_more(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = announce_replay(monkeypatch, "replay:Whole")
    engine = open_engine(name, time_limit=60, kernels="narrow")
    assert role_of(engine) == "reference"
    assert engine.availability().what == "kernels narrow"
    assert engine.refusal("llama", set()) == "it runs llama only"
    with pytest.raises(BadInput, match="has no kernel set 'odd' here; there are wide, narrow"):
        open_engine(name, kernels="odd")
    followed = pickle.loads(pickle.dumps(follow(engine, Fingerprint("their", "", "", "", "", 1, ""))))
    session = followed.open(model, context=24, threads=1)
    fingerprint = session.info.fingerprint
    assert (fingerprint.engine, fingerprint.version, fingerprint.kernels) == (name, "7", "narrow")
    assert fingerprint.details["to"] == "their"
    assert session.prefill(TOKENS[:3]).shape == (3, 512)
    session.close()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("replay:Nothing", "'replay-class' cannot be loaded from replay:Nothing: .* no attribute 'Nothing'"),
        ("nowhere:Engine", "cannot be loaded from nowhere:Engine: No module named 'nowhere'"),
    ],
)
def test_class_that_cannot_be_loaded_is_missing(
    value: str, sentence: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(announce_replay(monkeypatch, value))
    with pytest.raises(EngineUnavailable, match=sentence):
        engine.availability()


@pytest.mark.parametrize(("fault", "how"), [("segv", "crashed .SIGSEGV."), ("exit", "exited with code 3")])
def test_class_that_ends_its_process_when_it_is_looked_for_ends_no_other(
    fault: str,
    how: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REPLAY_LOOK", fault)
    engine = open_engine(announce_replay(monkeypatch, "replay:Whole"))
    assert isinstance(engine, PythonEngine)
    with pytest.raises(EngineFailed, match=how):
        engine.availability()
    assert bitparity(monkeypatch, "doctor") in (0, 4)
    assert "oracle" in capsys.readouterr().out


def test_session_of_a_class_that_does_not_run_the_model_is_refused_before(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = model.with_name("other.gguf")
    make_model(other, ModelSpec(arch="bitnet-b1.58", n_layer=1))
    with pytest.raises(NotCompared, match=r"replay-class cannot run .*: it runs llama only"):
        require_runnable(open_engine(announce_replay(monkeypatch, "replay:Whole")), open_model(other))
