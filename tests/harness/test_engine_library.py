"""A shared library as an engine: compiled here, compared with the oracle, and told what is wrong with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli, open_engine
from bitparity.bench.lane import weight_bytes
from bitparity.cli.bench import named_lanes
from bitparity.engine import Session, StageValue
from bitparity.errors import BadInput, CannotTokenize, EngineFailed
from bitparity.stages import StageFilter
from harness.replaying import FAULT_AT, TOKENS, TOKENS_TYPED, compile_replay, replayed_model

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) is on the PATH")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replayed_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the four required functions and what tells of itself."""
    return compile_replay(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def full_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_replay(tmp_path_factory.mktemp("library"), "OPTIONAL", name="libfull.so.2")


@pytest.fixture
def session(full_library: Path, model: Path) -> Iterator[Session]:
    session = open_engine(str(full_library)).open(model, context=24, threads=1)
    yield session
    session.close()


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    ("role", "chunks"), [("reference", "prefill"), ("candidate", "decode"), ("candidate", "mixed")]
)
def test_library_is_an_engine_like_any_other(
    role: str,
    chunks: str,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = "reference" if role == "candidate" else "candidate"
    words = [f"--{role}", library, f"--{other}", "oracle", "--tokens", TOKENS_TYPED, "--chunks", chunks]
    result, model = tmp_path / "result.json", replayed_model(tmp_path, chunks)
    assert bitparity(monkeypatch, "compare", model, *words, "--json", result) == 0
    assert "agree at all 24 positions" in capsys.readouterr().out
    fingerprint = json.loads(result.read_text())[role]
    assert fingerprint["engine"] == "replay"
    assert fingerprint["version"] == "3.1"
    assert fingerprint["kv_type"] == "f32"
    assert fingerprint["details"]["colour"] == "blue"
    assert re.fullmatch(
        r"(\S+ [0-9a-f]{16}, )*libreplay.so [0-9a-f]{16}", fingerprint["details"]["libraries"]
    )


def test_engine_without_a_tokenizer_runs_the_ids_of_the_other(
    library: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tmp_path / "result.json"
    words = ["--reference", "oracle", "--prompt", "abc", "--limit", "100", "--json", result]
    bitparity(monkeypatch, "compare", model, "--candidate", library, *words)
    found = json.loads(result.read_text())
    assert len(found["tokens"]) > 1
    assert found["candidate"]["details"]["tokenizer"] == "none"
    words = ["--candidate", library, "--reference", library, "--prompt", "abc", "--json", tmp_path / "2.json"]
    assert bitparity(monkeypatch, "compare", model, *words) == 0
    assert json.loads((tmp_path / "2.json").read_text())["tokens"] == found["tokens"]


def test_engine_without_a_tap_is_not_said_to_have_right_stages(
    library: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--reference", "oracle", "--candidate", library, "--tokens", TOKENS_TYPED, "--blame"]
    assert bitparity(monkeypatch, "compare", model, *words) == 0
    said = capsys.readouterr().out
    assert "no stage of oracle is wrong; replay records no stages: it was not judged" in said


def test_run_and_trace_tokenize_for_an_engine_that_cannot(
    library: Path,
    full_library: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        bitparity(monkeypatch, "run", model, "--engine", library, "--prompt", "a", "--max-tokens", "2") == 0
    )
    words = ["--tokens", "1,2", "--out", tmp_path, "--values"]
    assert bitparity(monkeypatch, "trace", model, "--engine", full_library, *words) == 0
    assert "full: 2 records of 1 stages at 2 positions" in capsys.readouterr().out
    assert bitparity(monkeypatch, "trace", model, "--engine", library, *words) == 4
    assert f"{library} handed out no stage of *:*; only an engine with a tap" in capsys.readouterr().err


def test_bench_times_a_library(
    library: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--engine", "oracle", "--engine", f"{library}={model}", "--prefill", "4", "--depths", "0"]
    result = tmp_path / "bench.json"
    more = ["--decode-tokens", "2", "--repetitions", "1", "--json", result]
    assert bitparity(monkeypatch, "bench", model, *words, *more) in (0, 1)


def test_plugin_takes_a_library_and_repeats_it_by_its_path(
    library: Path, model: Path, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        f"""
def test_parity(parity):
    result = parity.assert_positions_match({TOKENS})
    assert "--candidate {library} " in result.command
"""
    )
    named = ("--parity-model", model, "--parity-reference", "oracle", "--parity-candidate", library)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", *map(str, named)).assert_outcomes(passed=1)


def test_prefill_decode_and_rollback_give_the_rows_of_their_positions(session: Session) -> None:
    rows = session.prefill(TOKENS[:5])
    assert rows.shape == (5, 512)
    assert rows.dtype == np.float32
    assert np.array_equal(session.prefill(TOKENS[5:7], logits="last")[0], session_row(session, 6))
    session.rollback(3)
    assert session.position == 3
    assert np.array_equal(session.decode(TOKENS[3]), rows[3])
    assert session.position == 4


def session_row(session: Session, position: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session.rollback(position)
    return session.decode(TOKENS[position])


def test_bad_tokens_do_not_reach_the_engine(session: Session) -> None:
    with pytest.raises(BadInput, match="token 1 has id 512; the vocabulary has 512 ids"):
        session.prefill([1, 512])
    with pytest.raises(BadInput, match="beyond the session's context of 24"):
        session.prefill(TOKENS + TOKENS)
    with pytest.raises(BadInput, match="no tokens"):
        session.prefill([])
    with pytest.raises(BadInput, match="cannot roll back to position 1"):
        session.rollback(1)


def test_text_and_tokens_pass_whatever_their_length(session: Session) -> None:
    assert session.tokenize("hä", add_bos=True, parse_special=True) == [1, 104, 195, 164]
    assert session.detokenize([65] * 30) == "A" * 600  # more than is made room for at first


def test_tap_gives_known_stages_and_nothing_after_its_end(session: Session) -> None:
    got: list[StageValue] = []
    with session.tap(StageFilter.parse("*:*"), got.append):
        rows = session.prefill(TOKENS[:2])
        session.decode(TOKENS[2])
    session.decode(TOKENS[3])
    assert [(v.stage, v.layer, v.position, v.seq) for v in got] == [
        ("logits", -1, 0, 0),
        ("logits", -1, 1, 0),
        ("logits", -1, 2, 1),
    ]
    assert np.array_equal(got[1].values, rows[1:])


def test_library_with_the_last_logits_only_is_run_token_by_token(model: Path, tmp_path: Path) -> None:
    library = compile_replay(tmp_path, "LAST_ONLY")
    session = open_engine(str(library)).open(model, context=24, threads=1)
    rows = session.prefill(TOKENS[:4])
    assert rows.shape == (4, 512)
    session.rollback(0)
    assert np.array_equal(session.prefill(TOKENS[:4], logits="last"), rows[3:])
    with pytest.raises(CannotTokenize, match="replay cannot tokenize; give --tokens or --tokenizer"):
        session.tokenize("a", add_bos=True, parse_special=True)
    session.close()


def test_library_that_opens_no_session_says_why(library: Path, model: Path, tmp_path: Path) -> None:
    engine = open_engine(str(library))
    with pytest.raises(BadInput, match=r"replay cannot open .*prefill.gguf: there is no device 3"):
        engine.open(model, context=8, threads=1, device_id=3)
    copied = tmp_path / "copy.gguf"
    copied.write_bytes(model.read_bytes())
    with pytest.raises(BadInput, match=r"nobody computed .*copy.gguf.logits"):
        engine.open(copied, context=8, threads=1)


def test_call_that_fails_is_told_with_its_reason(
    library: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAY_FAULT", "code")
    session = open_engine(str(library)).open(model, context=24, threads=1)
    session.prefill(TOKENS[:FAULT_AT])
    with pytest.raises(EngineFailed) as caught:
        session.decode(TOKENS[FAULT_AT])
    assert str(caught.value) == (
        "replay failed with code 4 at position 17; its last words: the disk | is gone"
    )
    session.close()


def test_rows_that_are_left_unwritten_are_noticed(
    library: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAY_FAULT", "rows")
    session = open_engine(str(library)).open(model, context=24, threads=1)
    with pytest.raises(EngineFailed, match="replay wrote the logits of 2 of 5 positions"):
        session.prefill(TOKENS[:5])
    session.close()


def test_file_that_is_no_engine_is_told_in_a_sentence(tmp_path: Path, model: Path) -> None:
    with pytest.raises(BadInput, match=r"nothing.so: there is no such library"):
        open_engine(str(tmp_path / "nothing.so"))
    text = tmp_path / "text.so"
    text.write_text("no library")
    with pytest.raises(BadInput, match=r"text.so cannot be loaded: file too short"):
        open_engine(str(text)).open(model, context=8, threads=1)
    (tmp_path / "empty.c").write_text("void bitparity_close(void* session) { (void)session; }")
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "empty.c", "-o", tmp_path / "empty.so"], check=True)
    with pytest.raises(
        BadInput, match="does not export bitparity_open, bitparity_n_vocab, bitparity_forward;"
    ):
        open_engine(str(tmp_path / "empty.so")).open(model, context=8, threads=1)


def test_file_that_only_the_candidate_can_read_is_left_to_it(
    library: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A format of its own, here a folder, which the replayed logits stand beside."""
    own = tmp_path / "checkpoint"
    own.mkdir()
    (own / "weights.bin").write_bytes(b"as only they know how")
    shutil.copy(f"{model}.logits", f"{own}.logits")
    words = ["--reference", "oracle", "--candidate", library, "--candidate-model", own]
    result = tmp_path / "result.json"
    typed = ["compare", model, *words, "--tokens", TOKENS_TYPED, "--json", result]
    assert bitparity(monkeypatch, *typed) == 0
    assert "its engine reads it" in capsys.readouterr().err
    found = json.loads(result.read_text())
    assert found["candidate_model"]["path"] == str(own)
    assert found["candidate_model"]["blake3"] != found["model"]["blake3"]
    typed[typed.index(own)] = tmp_path / "nothing"
    assert bitparity(monkeypatch, *typed) == 2


def test_lane_of_a_file_that_only_its_engine_can_read_is_told_what_the_model_is(
    library: Path, model: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.bin"
    own.write_bytes(b"as only they know how")
    engines = ("oracle", f"{library}={own}")
    sharing, alone = named_lanes(engines, str(model), {"kernels": None, "arithmetic": None})
    assert (sharing.model.path, sharing.read_from) == (model, None)
    assert (alone.model.path, alone.read_from) == (own, model)
    assert alone.model.hyper == sharing.model.hyper
    assert weight_bytes(alone.model) == len(b"as only they know how")


def test_include_path_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitparity(monkeypatch, "include") == 0
    assert (Path(capsys.readouterr().out.strip()) / "bitparity" / "engine.h").is_file()
