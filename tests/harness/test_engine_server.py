"""Servers as engines: what is compared, what is said not to be, and what goes wrong on the way."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli, open_engine
from bitparity.compare.most_probable import compare_most_probable
from bitparity.engine import Floats
from bitparity.errors import BadInput
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.engine import OracleEngine
from harness.serving import Row, completions, llama_server, serving, text_completions

TOKENS = [5, 6, 7, 8, 9, 10]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=320, context_length=64))
    return path


@pytest.fixture(scope="module")
def oracle_row(model: Path) -> Row:
    """The oracle's own logits of a prefill of TOKENS, whatever part of them is asked for."""
    rows = OracleEngine().open(model, context=64, threads=1).prefill(TOKENS)

    def row(ids: Sequence[int]) -> Floats:
        assert list(ids) == TOKENS[: len(ids)]
        return np.asarray(rows[len(ids) - 1])

    return row


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def against_oracle(model: Path, candidate: str, *more: str) -> list[str]:
    ids = ",".join(map(str, TOKENS))
    return ["compare", str(model), "--reference", "oracle", "--candidate", candidate, "--tokens", ids, *more]


@pytest.mark.parametrize("protocol", [llama_server, completions])
def test_server_agrees_on_its_most_probable_tokens_and_the_report_says_what_was_not_compared(
    protocol: object,
    model: Path,
    oracle_row: Row,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(protocol, oracle_row) as url:  # type: ignore[arg-type]
        words = against_oracle(model, url, "--json", str(tmp_path / "r.json"))
        assert bitparity(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "agree at all 6 positions" in said
    part = (
        "log-probabilities of the 20 tokens that the candidate gives at each position; those of the other 300"
    )
    assert part in said
    result = json.loads((tmp_path / "r.json").read_text())
    assert part in result["compared_part"]
    assert [row["top_k_overlap"] for row in result["positions"]] == [1.0] * 6


def test_all_tokens_are_compared_if_the_server_gives_them(
    model: Path, oracle_row: Row, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(llama_server, oracle_row) as url:
        assert bitparity(monkeypatch, *against_oracle(model, f"{url}?top=9999")) == 0
    assert "log-probabilities of all 320 tokens" in capsys.readouterr().out


def test_wrong_position_of_a_server_is_found(
    model: Path, oracle_row: Row, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(ids: Sequence[int]) -> Floats:
        return oracle_row(ids[:-1] if len(ids) == 4 else ids)

    with serving(llama_server, wrong) as url:
        assert bitparity(monkeypatch, *against_oracle(model, url, "--limit", "1e-4")) == 1
    assert "diverged at 1 of 6 positions; the first is position 3" in capsys.readouterr().out


def test_noise_is_measured_on_as_many_tokens_as_are_compared(
    model: Path,
    oracle_row: Row,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An I2_S model whose rows moved by a thousandth: within its rounding, beyond that of sums."""
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path))

    def moved(ids: Sequence[int]) -> Floats:
        row = oracle_row(ids)
        return np.asarray(row + 1e-4 * np.sin(np.arange(row.size)), np.float32)

    with serving(llama_server, moved) as url:
        assert bitparity(monkeypatch, *against_oracle(model, url)) == 0
    assert "NOISE" in capsys.readouterr().out


def test_llama_server_tokenizes_the_prompt(
    model: Path, oracle_row: Row, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(model), "--reference", "oracle", "--prompt", "ab"]
    with serving(llama_server, oracle_row) as url:
        assert bitparity(monkeypatch, *words, "--candidate", url) == 3
    assert "the engines tokenize the text differently from offset 0" in capsys.readouterr().err


def _break(path: str, request: dict[str, object], row: Row) -> object:
    if path == "/completion" and len(request["prompt"]) == 3:  # type: ignore[arg-type]
        raise ValueError("the slot is gone")
    return llama_server(path, request, row)


def _without_ids(path: str, request: dict[str, object], row: Row) -> object:
    return {"content": "x"} if path == "/completion" else llama_server(path, request, row)


def _outside(path: str, request: dict[str, object], row: Row) -> object:
    if path != "/completion":
        return llama_server(path, request, row)
    return {"completion_probabilities": [{"top_logprobs": [{"id": 320, "logprob": -1.0}]}]}


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (_break, 'answered /completion with 400; its last words: {"error": {"message": "the slot is gone"}}'),
        (_without_ids, 'gave an answer without completion_probabilities.0.top_logprobs: {"content": "x"}'),
        (_outside, "names token 320; the vocabulary has 320 ids"),
        (text_completions, "names tokens by their text (' the'), and ids are needed to compare"),
    ],
)  # fmt: skip
def test_server_that_fails_is_exit_5_in_its_own_words(
    protocol: object,
    said: str,
    model: Path,
    oracle_row: Row,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(protocol, oracle_row) as url:  # type: ignore[arg-type]
        assert bitparity(monkeypatch, *against_oracle(model, url, "--chunks", "decode")) == 5
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_nobody_at_the_address_is_exit_4(
    model: Path, oracle_row: Row, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(llama_server, oracle_row) as url:
        pass
    assert bitparity(monkeypatch, *against_oracle(model, url)) == 4
    assert "cannot be reached or closed the connection: [Errno" in capsys.readouterr().err


def test_server_that_is_no_model_server_is_exit_4(
    model: Path, oracle_row: Row, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda path, request, row: None, oracle_row) as url:
        assert bitparity(monkeypatch, *against_oracle(model, url)) == 4
    assert "answers neither GET /props as llama-server does nor GET /v1/models" in capsys.readouterr().err


def test_another_machine_is_asked_only_when_the_user_says_so() -> None:
    with pytest.raises(BadInput, match="is not on this machine; write remote:http://board:8080 if it may be"):
        open_engine("http://board:8080")
    with pytest.raises(BadInput, match="is not on this machine"):
        open_engine("http://127.0.0.1.evil.example:80")
    assert open_engine("remote:http://board:8080").name == "board:8080"
    with pytest.raises(BadInput, match="top=all is no number of tokens"):
        open_engine("http://localhost:1?top=all")


def test_redirection_is_not_followed(model: Path, oracle_row: Row) -> None:
    from http.server import BaseHTTPRequestHandler

    asked = []

    def moved(path: str, request: dict[str, object], row: Row) -> object:
        asked.append(path)
        return None

    send = BaseHTTPRequestHandler.send_response
    with pytest.MonkeyPatch.context() as patch:

        def redirect(self: BaseHTTPRequestHandler, code: int, message: str | None = None) -> None:
            send(self, 302)
            self.send_header("Location", "/elsewhere")

        patch.setattr(BaseHTTPRequestHandler, "send_response", redirect)
        with serving(moved, oracle_row) as url:
            assert not open_engine(url).availability().found
    assert "/elsewhere" not in asked


def test_most_probable_tokens_are_measured_as_log_probabilities() -> None:
    """A constant added to all logits changes nothing; a best token that the candidate does not name does."""
    expected = np.array([3.0, 2.0, 1.0, 0.0, -1.0], np.float32)
    probable = expected.astype(np.float64) - np.log(np.exp(expected.astype(np.float64)).sum())
    actual = np.full(5, -np.inf)
    actual[:2] = probable[:2]
    same = compare_most_probable(expected + 10, actual, 2)
    assert same.max_abs < 1e-6
    assert same.argmax_equal
    assert same.top_k_overlap == 1.0
    actual[0] = -np.inf
    missing = compare_most_probable(expected, actual, 2)
    assert (missing.argmax_expected, missing.argmax_actual) == (0, 1)
    assert missing.contested == pytest.approx(1.0)
    assert not compare_most_probable(expected, np.array([0, 0, 0, 0, np.nan]), 2).actual_is_finite
    assert not compare_most_probable(expected, np.full(5, -np.inf), 2).actual_is_finite
