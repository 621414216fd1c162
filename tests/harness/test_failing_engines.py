"""Whatever an engine does at position 17 is one sentence and exit 5; the positions before are judged."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli
from harness.replaying import FAULT_AT, SOURCES, TOKENS_TYPED, announce_replay, compile_replay, replayed_model

PROGRAM = f"exec:{shlex.join([sys.executable, str(SOURCES / 'replay_program.py')])}"
HANGS = ("hang", "half")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) is on the PATH")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside it, as a reference that costs no time, the logits as numbers."""
    path = replayed_model(tmp_path_factory.mktemp("models"))
    data = Path(f"{path}.logits").read_bytes()
    np.save(path.with_name("expected.npy"), np.frombuffer(data[4:], "<f4").reshape(-1, 512))
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_replay(tmp_path_factory.mktemp("library"))


Compare = Callable[..., tuple[int, str, dict[str, object]]]


@pytest.fixture
def compare(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Compare:
    """Compare a candidate that has a fault with the right numbers; exit code, what was said, the result."""

    def compare(candidate: str | Path, fault: str, *more: str) -> tuple[int, str, dict[str, object]]:
        monkeypatch.setenv("REPLAY_FAULT", fault)
        result = tmp_path / "result.json"
        words = ["--reference", str(model.with_name("expected.npy")), "--candidate", str(candidate)]
        words += ["--tokens", TOKENS_TYPED, "--json", str(result), *more]
        monkeypatch.setattr(sys, "argv", ["bitparity", "compare", str(model), *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        found = json.loads(result.read_text()) if result.is_file() else {}
        return int(stop.value.code or 0), " ".join((said.out + said.err).split()), found

    return compare


def check(outcome: tuple[int, str, dict[str, object]], sentence: str) -> None:
    """Exit 5 with this sentence; every position before the fault was compared, and agrees."""
    code, said, found = outcome
    pattern = re.escape(sentence).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, str(found["failure"])), found["failure"]
    assert code == 5
    assert f"; {FAULT_AT} of 24 positions were compared before ({FAULT_AT} agree)" in said
    positions = found["positions"]
    assert isinstance(positions, list)
    assert [row["verdict"] for row in positions] == ["agree"] * FAULT_AT


ENDS = {
    "segv": "crashed (SIGSEGV); its last words: about to fail",
    "abort": "aborted (SIGABRT); its last words: about to fail",
    "exit": "exited with code 3; its last words: about to fail",
    "hang": "gave no answer in 1 s; its last words: about to fail",
}
OF_A_LIBRARY = {
    **ENDS,
    "code": "failed with code 4 at position 17; its last words: the disk | is gone",
    "memory": "crashed (SIGSEGV); its last words: about to fail",
    "rubbish": "wrote into files that it had not opened; its last words: about to fail | " + "x" * 128,
}
OF_A_CLASS = {
    **ENDS,
    "quit": "exited with code 0; its last words: about to fail",
    "raise": "raised ValueError; its last words: a bug",
    "memory": "raised MemoryError",
    "rubbish": "wrote into files that it had not opened; its last words: about to fail | " + "x" * 128,
}
OF_A_PROGRAM = {
    **OF_A_CLASS,
    "raise": "exited with code 1; its last words: ...ValueError: a bug",
    "memory": "exited with code 1; its last words: ...MemoryError",
    "rubbish": f"answered '{'x' * 64}...', which is not as program.md says; its last words: ...",
    "noise": "answered '\ufffd\\x00 loading layers ...', which is not as program.md says; ...",
    "array": "answered '[1, 2]', which is not as program.md says; its last words: about to fail",
    "rows": "announced 7 rows of logits where 1 are needed; its last words: about to fail",
    "silence": "closed its output and did not end; its last words: about to fail",
    "half": "gave no answer in 1 s; its last words: about to fail",
    "error": "failed; its last words: no room | left",
}


@needs_cc
@pytest.mark.parametrize("fault", OF_A_LIBRARY)
def test_library_that_fails_keeps_the_positions_before(fault: str, library: Path, compare: Compare) -> None:
    outcome = compare(library, fault, "--chunks", "decode", "--time-limit", "1" if fault in HANGS else "60")
    check(outcome, f"replay {OF_A_LIBRARY[fault]}")


@pytest.mark.parametrize("fault", OF_A_CLASS)
def test_class_that_fails_keeps_the_positions_before(
    fault: str, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = announce_replay(monkeypatch)
    outcome = compare(name, fault, "--chunks", "decode", "--time-limit", "1" if fault in HANGS else "60")
    check(outcome, f"{name} {OF_A_CLASS[fault]}")


@pytest.mark.parametrize("fault", OF_A_PROGRAM)
def test_program_that_fails_keeps_the_positions_before(fault: str, compare: Compare) -> None:
    outcome = compare(PROGRAM, fault, "--chunks", "decode", "--time-limit", "1" if fault in HANGS else "60")
    check(outcome, f"{Path(sys.executable).name} {OF_A_PROGRAM[fault]}")


WRONG = "where a float32 array of shape (24, 512) is needed"
RETURNS = {
    "list": f"returned a list {WRONG}",
    "none": f"returned a NoneType {WRONG}",
    "float64": f"returned float64 {WRONG}",
    "float16": f"returned float16 {WRONG}",
    "padding": f"returned logits of shape (24, 544) {WRONG}; leave out the last 32 columns if they are "
    "padding",
    "last row": f"returned logits of shape (1, 512) {WRONG}; an engine that has one row only has "
    "forward_last instead of forward",
    "flat": f"returned logits of shape (12288,) {WRONG}",
    "log-probabilities": "returned log-probabilities where raw logits are needed; the distribution is the "
    "same, but comparing needs the values before the log-softmax",
    "probabilities": "returned probabilities where raw logits are needed; return the values before the "
    "softmax",
}


@pytest.mark.parametrize("kind", RETURNS)
def test_class_that_returns_something_else_is_told_in_a_sentence(
    kind: str, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, found = compare(announce_replay(monkeypatch), kind)
    assert code == 5
    assert found["failure"] == f"replay-class {RETURNS[kind]}"


@needs_cc
def test_library_that_pads_its_vocabulary_is_told_to_leave_the_padding_out(
    library: Path, compare: Compare
) -> None:
    code, said, _ = compare(library, "padding")
    assert code == 2
    assert "512 tokens in expected.npy, 544 in replay; an engine that pads its rows" in said


@needs_cc
@pytest.mark.parametrize("chunks", ["prefill", "decode"])
def test_nan_is_told_with_its_position_and_the_others_are_judged(
    chunks: str, library: Path, compare: Compare
) -> None:
    code, said, found = compare(library, "nan", "--chunks", chunks)
    positions = found["positions"]
    assert isinstance(positions, list)
    assert [row["verdict"] == "agree" for row in positions] == [i != FAULT_AT for i in range(24)]
    assert "position 17" in said
    assert code == 5


@needs_cc
@pytest.mark.parametrize("fault", ["abort", "rows"])
def test_failure_in_the_middle_of_a_prefill_keeps_the_chunks_before(
    fault: str, library: Path, compare: Compare
) -> None:
    code, said, found = compare(library, fault, "--chunks", "9")
    assert code == 5
    kept = {"abort": 9, "rows": 0}[fault]  # tokens 0 to 8; the library writes two rows of any call
    assert f"; {kept} of 24 positions were compared before" in said
    assert "--chunks decode runs one token at a time" in said
    assert "its last words" in said or "wrote the logits of 2 of 9 positions" in str(found["failure"])


@needs_cc
@pytest.mark.parametrize("kind", ["library", "class", "program"])
def test_engine_that_crashes_when_it_is_closed_keeps_every_position(
    kind: str, library: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = {"library": str(library), "class": announce_replay(monkeypatch), "program": PROGRAM}[kind]
    code, said, found = compare(candidate, "close")
    assert code == 5
    assert "aborted (SIGABRT)" in str(found["failure"])
    assert "24 of 24 positions were compared before (24 agree)" in said
