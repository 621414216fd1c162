"""Logits in files of NumPy as an engine: what is compared, and how such a file can be wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli
from bitparity.compare.numbers import read_numbers
from bitparity.engine import Floats
from bitparity.errors import BadInput
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.engine import OracleEngine

TOKENS = [5, 6, 7, 8, 9]
ORACLE = ["--reference", "oracle", "--limit", "1e-9"]


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return path


@pytest.fixture(scope="module")
def logits(model: Path) -> Floats:
    session = OracleEngine().open(model, context=64, threads=1)
    return session.prefill(TOKENS)


def test_npy_with_tokens_on_the_command_line_agrees(
    model: Path,
    logits: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = OracleEngine().open(model, context=64, threads=1)
    one_by_one = np.stack([session.decode(token) for token in TOKENS])
    words = [str(model), *ORACLE, "--candidate", str(tmp_path / "logits.npy"), "--tokens", "5,6,7,8,9"]
    for chunks, rows in (("prefill", logits), ("decode", one_by_one)):
        np.save(tmp_path / "logits.npy", rows)
        assert bitparity(monkeypatch, "compare", *words, "--chunks", chunks) == 0
        assert "AGREE  logits.npy and oracle agree at all 5 positions" in capsys.readouterr().out


def test_tokens_beside_the_file_are_the_prompt(
    model: Path,
    logits: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = logits.copy()
    wrong[3] = logits[2]
    np.save(tmp_path / "logits.npy", wrong)
    (tmp_path / "logits.tokens").write_text("5, 6 7\n8 9\n")
    words = [str(model), *ORACLE, "--candidate", str(tmp_path / "logits.npy")]
    assert bitparity(monkeypatch, "compare", *words) == 1
    assert "diverged at 1 of 5 positions; the first is position 3" in capsys.readouterr().out


def test_npz_holds_its_tokens_and_serves_as_reference(
    model: Path,
    logits: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "theirs.npz", logits=logits.astype(np.float64), tokens=np.array(TOKENS))
    words = [str(model), "--reference", str(tmp_path / "theirs.npz"), "--candidate", "oracle"]
    assert bitparity(monkeypatch, "compare", *words) == 0
    assert "oracle and theirs.npz agree at all 5 positions" in capsys.readouterr().out


def test_numbers_as_reference_have_no_noise_to_judge_by(
    model: Path,
    logits: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "theirs.npz", logits=logits * np.float32(1.01), tokens=np.array(TOKENS))
    words = [str(model), "--reference", str(tmp_path / "theirs.npz"), "--candidate", "oracle"]
    assert bitparity(monkeypatch, "compare", *words) == 4
    assert "theirs.npz holds numbers only, which tell nothing of their noise" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["--prompt", "a b"],
            2,
            "does not say which tokens its rows belong to; give them with --tokens",
        ),
        (["--tokens", "5,6,7,8,9,10"], 4, "has 5 rows, too few for these 6 tokens"),
    ],
)
def test_what_the_numbers_do_not_answer_is_said(
    words: list[str],
    code: int,
    message: str,
    model: Path,
    logits: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "logits.npy", logits)
    all_words = [str(model), *ORACLE, "--candidate", str(tmp_path / "logits.npy"), *words]
    assert bitparity(monkeypatch, "compare", *all_words) == code
    assert message in capsys.readouterr().err


def test_padded_vocabulary_is_told_apart(
    model: Path,
    logits: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "padded.npz", logits=np.pad(logits, ((0, 0), (0, 64))), tokens=np.array(TOKENS))
    words = [str(model), *ORACLE, "--candidate", str(tmp_path / "padded.npz")]
    assert bitparity(monkeypatch, "compare", *words) == 2
    assert "512 tokens in oracle, 576 in padded.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"logits": np.zeros((2, 4), np.float16)}, "holds float16; save the logits as they were"),
        ({"logits": np.zeros((2, 4), np.int64)}, "holds int64"),
        ({"logits": np.zeros(4, np.float32)}, "has the shape (4,); (positions, n_vocab) is needed"),
        ({"logits": np.zeros((0, 4), np.float32)}, "has the shape (0, 4)"),
        ({"logits": np.zeros((2, 4), np.float32), "tokens": np.arange(3)}, "2 rows of logits for 3 tokens"),
        (
            {"logits": np.zeros((2, 4), np.float32), "tokens": np.zeros(2)},
            "not a list of whole numbers",
        ),
        ({"values": np.zeros((2, 4), np.float32)}, "holds no array named 'logits'"),
    ],
)
def test_file_that_holds_something_else_is_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=re.escape(message)):
        read_numbers(tmp_path / "x.npz")


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 4), np.float32))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(BadInput, match="is no whole file of NumPy"):
        read_numbers(tmp_path / "x.npy")
    with pytest.raises(BadInput, match="there is no such file"):
        read_numbers(tmp_path / "y.npy")
