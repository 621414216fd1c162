"""A program as an engine: what program.md says is what is spoken."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bitparity.engines.program
from bitparity import cli, open_engine
from bitparity.cli.bench import _engine_and_file
from bitparity.engine import Session, StageValue
from bitparity.errors import BadInput, EngineFailed
from bitparity.stages import StageFilter
from harness.replaying import SOURCES, TOKENS, TOKENS_TYPED, replayed_model

PROGRAM = f"exec:{shlex.join([sys.executable, str(SOURCES / 'replay_program.py')])}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replayed_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def session(model: Path) -> Iterator[Session]:
    session = open_engine(PROGRAM).open(model, context=24, threads=1)
    yield session
    session.close()


def test_program_is_an_engine_like_any_other(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    words = ["--reference", "oracle", "--candidate", f"{PROGRAM} --about", "--json", str(result)]
    command = ["bitparity", "compare", str(model), *words, "--tokens", TOKENS_TYPED]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert "played-back and oracle agree at all 24 positions" in capsys.readouterr().out
    candidate = json.loads(result.read_text())["candidate"]
    assert (candidate["engine"], candidate["version"]) == ("played-back", "5")
    assert candidate["details"]["command"].endswith("replay_program.py --about")
    digests = candidate["details"]["libraries"]
    assert re.fullmatch(r"python\S* [0-9a-f]{16}, replay_program.py [0-9a-f]{16}", digests)


def test_program_gives_the_rows_of_their_positions(session: Session, model: Path) -> None:
    rows = np.frombuffer(Path(f"{model}.logits").read_bytes()[4:], "<f4").reshape(24, 512)
    assert np.array_equal(session.prefill(TOKENS[:9]), rows[:9])
    assert np.array_equal(session.prefill(TOKENS[9:12], logits="last"), rows[11:12])
    session.rollback(4)
    assert np.array_equal(session.decode(TOKENS[4]), rows[4])
    assert session.tokenize("hä", add_bos=True, parse_special=True) == [1, 104, 195, 164]
    assert session.detokenize([104, 195, 164]) == "hä"


def test_program_hands_out_its_stages(session: Session) -> None:
    got: list[StageValue] = []
    with session.tap(StageFilter.parse("*:*"), got.append):
        rows = session.prefill(TOKENS[:3])
    session.decode(TOKENS[3])
    assert [(v.stage, v.layer, v.position) for v in got] == [("logits", -1, 0)]
    assert np.array_equal(got[0].values, rows)


def test_program_with_the_last_logits_only_is_run_token_by_token(session: Session, model: Path) -> None:
    last = open_engine(f"{PROGRAM} --last").open(model, context=24, threads=1)
    assert np.array_equal(last.prefill(TOKENS[:5]), session.prefill(TOKENS[:5]))
    last.close()


def test_program_that_opens_no_model_says_why(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(model.read_bytes())
    with pytest.raises(BadInput, match=r"cannot open .*other.gguf: nobody computed .*other.gguf.logits"):
        open_engine(PROGRAM).open(other, context=24, threads=1)


def test_program_that_is_not_there_is_told_in_a_sentence(model: Path) -> None:
    with pytest.raises(BadInput, match=r"^\./nothing cannot be started: No such file or directory$"):
        open_engine("exec:./nothing").open(model, context=24, threads=1)
    with pytest.raises(BadInput, match=r"^'exec: ' names no program"):
        open_engine("exec: ")


def test_program_that_speaks_something_else_is_told_what_it_said(model: Path) -> None:
    with pytest.raises(EngineFailed, match=r"^echo answered 'hello', which is not as program.md says$"):
        open_engine("exec:echo hello").open(model, context=24, threads=1)
    with pytest.raises(EngineFailed, match=r"^true exited with code 0$"):
        open_engine("exec:true").open(model, context=24, threads=1)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system does not tell when a process ends")
def test_end_of_a_program_is_seen_though_its_child_keeps_the_pipe(model: Path) -> None:
    engine = open_engine("exec:sh -c 'sleep 90 & exit 3'", time_limit=60)
    with pytest.raises(EngineFailed, match="sh exited with code 3"):
        engine.open(model, context=24, threads=1)


def test_requests_of_the_page_are_those_that_are_sent(session: Session) -> None:
    """And its answers are those that are understood: the examples are spoken by the program of the tests."""
    page = Path(bitparity.engines.program.__file__).with_name("program.md").read_text()
    requests = [json.loads(text) for text in re.findall(r"^\| `({.*?})` \|", page, re.MULTILINE)]
    assert [next(iter(request)) for request in requests] == [
        "open",
        "forward",
        "forward",
        "tokenize",
        "detokenize",
    ]
    source = Path(bitparity.engines.program.__file__).read_text()
    assert all(f'"{key}"' in source for request in requests for key in request)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("native", ("native", "")),
        ("native=a.gguf", ("native", "a.gguf")),
        ("exec:./engine --threads=2", ("exec:./engine --threads=2", "")),
        (f"exec:./engine --threads=2={__file__}", ("exec:./engine --threads=2", __file__)),
    ],
)
def test_bench_tells_a_file_from_a_flag_of_a_program(text: str, parts: tuple[str, str]) -> None:
    assert _engine_and_file(text) == parts
