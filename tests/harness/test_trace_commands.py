"""`bitparity trace` and `bitparity trace-diff`, from the arguments to the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitparity.cli.trace import command as trace_command
from bitparity.cli.trace import parse_positions
from bitparity.cli.trace_diff import command as diff_command
from bitparity.errors import BadInput, BitparityError
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.trace import read_trace

TOKENS = "5,6,7,8,9,10"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1))
    return path


def run(command: object, *arguments: object) -> Result:
    """Run a command as `bitparity` does; a BitparityError becomes its exit code."""
    result = CliRunner().invoke(command, [str(a) for a in arguments])  # type: ignore[arg-type]
    if isinstance(result.exception, BitparityError):
        result.exit_code = result.exception.exit_code
    elif result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def record(model: Path, folder: Path, *options: object) -> Path:
    result = run(trace_command, model, "--engine", "oracle", "--tokens", TOKENS, "--out", folder, *options)
    assert result.exit_code == 0
    return Path(result.output.split(" in ")[-1].strip())


def test_trace_writes_a_run_with_its_circumstances(model: Path, tmp_path: Path) -> None:
    trace = read_trace(record(model, tmp_path, "--steps", 2, "--json", tmp_path / "out.json"))
    assert trace.engine == "oracle"
    assert trace.tokens == [5, 6, 7, 8, 9, 10]
    assert trace.meta["model"]["path"] == str(model)
    assert trace.meta["fingerprint"]["engine"] == "oracle"
    assert trace.positions() == list(range(8))
    assert {r.seq for r in trace} == {0, 1, 2}
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["records"], found["positions"], len(found["stages"])) == (len(trace), 8, 21)


def test_trace_filter_and_value_window_are_obeyed(model: Path, tmp_path: Path) -> None:
    options = ("--trace-filter", "0:ffn_*", "--values-filter", "0:ffn_act", "--values-positions", "2-3")
    trace = read_trace(record(model, tmp_path, *options))
    stages = ["ffn_norm", "ffn_gate", "ffn_up", "ffn_act", "ffn_sub_norm", "ffn_out"]
    assert [stage for _, stage in trace.stages()] == stages
    kept = [(s, p) for _, s in trace.stages() for p in trace.positions() if trace.has_value(0, s, p)]
    assert kept == [("ffn_act", 2), ("ffn_act", 3)]


def test_equal_runs_exit_0_and_two_different_ones_1(model: Path, tmp_path: Path) -> None:
    first, second = record(model, tmp_path), record(model, tmp_path)
    assert (first.name, second.name) == ("oracle", "oracle-2")
    equal = run(diff_command, first, second)
    assert equal.exit_code == 0
    assert equal.output.startswith("equal: oracle")
    decode = record(model, tmp_path, "--chunks", "decode", "--values")  # the oracle rounds probs to F16 there
    different = run(diff_command, first, decode, "--json", tmp_path / "diff.json")
    assert different.exit_code == 1
    assert "first divergence in graph order: position" in different.output
    data = json.loads((tmp_path / "diff.json").read_text())
    assert data["exit_code"] == 1
    assert data["first_divergence"]["stage"] == "attn_ctx"
    assert len(data["unequal"]) == data["counts"]["differs"]


def test_rows_listed_are_limited(model: Path, tmp_path: Path) -> None:
    first, decode = record(model, tmp_path), record(model, tmp_path, "--chunks", "decode")
    lines = run(diff_command, first, decode, "--limit", 2).output.splitlines()
    assert len([line for line in lines if line.startswith("  position")]) == 2
    assert any(" more; --limit shows them" in line for line in lines)


def test_absent_stage_is_named(model: Path, tmp_path: Path) -> None:
    whole, part = record(model, tmp_path), record(model, tmp_path, "--trace-filter", "0:*_norm,-1:logits")
    result = run(diff_command, whole, part)
    assert result.exit_code == 0
    assert "only the expected trace has: embeddings, q_proj" in result.output


def test_disjoint_and_empty_traces_exit_4(model: Path, tmp_path: Path) -> None:
    norm = record(model, tmp_path, "--trace-filter", "0:attn_norm")
    logits = record(model, tmp_path, "--trace-filter", "-1:logits")
    assert run(diff_command, norm, logits).exit_code == 4
    (tmp_path / "empty").mkdir()
    assert run(diff_command, norm, tmp_path / "empty").exit_code == 4


def test_unreadable_trace_exits_2(model: Path, tmp_path: Path) -> None:
    path = record(model, tmp_path, "--trace-filter", "0:attn_norm")
    (tmp_path / "not.jsonl").write_text("no JSON\n")
    assert run(diff_command, path, tmp_path / "not.jsonl").exit_code == 2
    assert run(diff_command, path, tmp_path / "nowhere").exit_code == 2


def test_cut_off_trace_is_named(model: Path, tmp_path: Path) -> None:
    first, second = (record(model, tmp_path, "--chunks", 3) for _ in range(2))
    file = second / "trace.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    result = run(diff_command, first, second)
    assert result.exit_code == 1
    assert f"damaged: {file}: record 126 is cut off" in result.output


def test_trace_without_a_folder_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITNET_TRACE_DIR", raising=False)
    assert run(trace_command, model, "--engine", "oracle", "--tokens", TOKENS).exit_code == 2


def test_folder_from_the_environment_is_used(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITNET_TRACE_DIR", str(tmp_path))
    run(trace_command, model, "--engine", "oracle", "--tokens", TOKENS)
    assert len(read_trace(tmp_path)) == 21 * 6


def test_unknown_stage_is_refused_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    options = (
        "--engine",
        "oracle",
        "--tokens",
        TOKENS,
        "--out",
        tmp_path / "out",
        "--trace-filter",
        "0:nope",
    )
    assert run(trace_command, model, *options).exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trace-filter", "5-2:*"], "the range 5-2 is empty; write 2-5"),
        (["--trace-filter", "0:ffn_act,1:*"], "there is no layer 1; the model has the layers 0 to 0"),
        (["--trace-filter", "0-3:*"], "there is no layer 3; the model has the layers 0 to 0"),
        (["--trace-filter", "0:logits"], "logits is outside the blocks; write -1:logits"),
        (["--trace-filter", "-1:ffn_act"], "ffn_act is inside the blocks; write a layer from 0"),
        (["--values-filter", "1:ffn_act"], "there is no layer 1; the model has the layers 0 to 0"),
        (["--values-filter", "0:ffn_act", "--trace-filter", "0:ffn_up"], "keeps nothing of what"),
        (["--values-positions", "4-6"], "there is no position 6; 0 to 5 are run"),
    ],
)
def test_filter_that_matches_nothing_is_refused_before_anything_is_written(
    model: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    options = ("--engine", "oracle", "--tokens", TOKENS, "--out", tmp_path / "out", *words)
    result = run(trace_command, model, *options)
    assert result.exit_code == 2
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_positions_are_a_number_or_a_range() -> None:
    assert list(parse_positions("3")) == [3]
    assert list(parse_positions("2-4")) == [2, 3, 4]
    for text in ("", "a", "4-2", "-1", "1-"):
        with pytest.raises(BadInput, match="write a number or a range"):
            parse_positions(text)
