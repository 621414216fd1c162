"""Stages under other names, and in files that somebody dumped."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from bitparity import cli, open_engine
from bitparity.engine import StageValue
from bitparity.errors import BadInput, NotCompared
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.engine import OracleEngine
from bitparity.stage_map import Named, StageMap, read_stage_map
from bitparity.stages import StageFilter

TOKENS = "5,6,7,8"
MAP = """
hidden_{layer} = ffn_act
{layer}.{position}.norm = attn_norm  # both numbers
# scores
scores = logits
"""


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def stage_map(tmp_path: Path) -> Path:
    path = tmp_path / "my.stages"
    path.write_text(MAP)
    return path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("hidden_12", Named("ffn_act", 12, None)),
        ("3.40.norm", Named("attn_norm", 3, 40)),
        ("3x40xnorm", None),
        ("hidden_", None),
        ("scores", Named("logits", None, None)),
        ("q_proj", Named("q_proj", None, None)),
        ("nothing", None),
    ],
)
def test_name_leads_to_a_stage(name: str, found: Named | None, stage_map: Path) -> None:
    assert read_stage_map(stage_map).find(name) == found
    assert StageMap().find("ffn_act") == Named("ffn_act", None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q = q_proj\nhidden\n", "line 2: 'hidden' is no line of a stage map; write: name = stage"),
        ("q = query", "line 1: no stage is named 'query'; there are embeddings, attn_norm"),
        ("q_{block} = q_proj", "line 1: 'q_{block}' has {block}; one {layer} and one {position} can be"),
        ("q_{layer}_{layer} = q_proj", "has {layer}; one {layer} and one {position} can be"),
    ],
)
def test_line_that_says_nothing_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.stages").write_text(text)
    with pytest.raises(BadInput, match=re.escape(message)):
        read_stage_map(tmp_path / "x.stages")
    with pytest.raises(BadInput, match="cannot be read as text"):
        read_stage_map(tmp_path / "y.stages")


def test_engine_with_our_names_takes_no_map(stage_map: Path) -> None:
    with pytest.raises(BadInput, match="oracle has bitparity's names for stages; leave out --stage-map"):
        open_engine("oracle", stage_map=stage_map)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=2, n_vocab=320, context_length=64))
    return path


@pytest.fixture
def dump(model: Path, tmp_path: Path) -> Path:
    """What the oracle computes of TOKENS: logits, and all stages of layer 1 that have rows of one length."""
    folder = tmp_path / "theirs"
    folder.mkdir()

    def write(value: StageValue) -> None:
        if value.stage != "attn_probs":
            name = value.stage if value.layer < 0 else f"{value.stage}-{value.layer}"
            value.values.astype("<f4").tofile(folder / f"{name}.bin")

    session = OracleEngine().open(model, context=64, threads=1)
    with session.tap(StageFilter.parse("0:layer_out,1:*,-1:*"), write):
        session.prefill([5, 6, 7, 8])
    (folder / "notes.txt").write_text("no stage")
    return folder


def against_oracle(dump: Path, model: Path, *more: str | Path) -> list[str | Path]:
    return ["compare", model, "--reference", "oracle", "--candidate", f"dump:{dump}", *more]


def test_dump_agrees_with_what_it_was_made_of(
    dump: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = against_oracle(dump, model, "--tokens", TOKENS)
    assert bitparity(monkeypatch, *words, "--blame") == 0
    assert "theirs and oracle agree at all 4 positions" in capsys.readouterr().out


def test_wrong_stage_of_a_dump_is_found_by_compare_and_in_its_trace(
    dump: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = np.fromfile(dump / "ffn_act-1.bin", "<f4")
    (dump / "ffn_act-1.bin").unlink()
    np.save(dump / "hidden_1.npy", values.reshape(4, -1) * np.float32(1.25))
    (tmp_path / "my.stages").write_text(MAP)
    mapped: list[str | Path] = ["--tokens", TOKENS, "--stage-map", tmp_path / "my.stages"]
    words = against_oracle(dump, model, *mapped)
    assert bitparity(monkeypatch, *words, "--blame") == 1
    assert "theirs is wrong: layer 1, ffn_act, from position 0" in capsys.readouterr().out

    out: list[str | Path] = ["--values", "--out", tmp_path / "traces"]
    assert bitparity(monkeypatch, "trace", model, "--engine", f"dump:{dump}", *mapped, *out) == 0
    assert bitparity(monkeypatch, "trace", model, "--engine", "oracle", "--tokens", TOKENS, *out) == 0
    traces: list[str | Path] = [tmp_path / "traces" / name for name in ("oracle", "theirs")]
    assert bitparity(monkeypatch, "trace-diff", *traces) == 1
    assert "first divergence in graph order: position 0, layer 1 ffn_act" in capsys.readouterr().out
    assert bitparity(monkeypatch, "blame", *traces) == 1
    assert "theirs is wrong: layer 1, ffn_act" in capsys.readouterr().out


def test_dump_without_logits_is_traced_but_not_compared(
    dump: Path, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (dump / "logits.bin").unlink()
    session = open_engine(f"dump:{dump}").open(model, context=64, threads=1)
    with pytest.raises(NotCompared, match="has no logits at positions 0 to 1"):
        session.prefill([5, 6])
    words: list[str | Path] = [
        "trace",
        model,
        "--engine",
        f"dump:{dump}",
        "--tokens",
        TOKENS,
        "--out",
        tmp_path / "t",
    ]
    assert bitparity(monkeypatch, *words) == 0


def test_rows_begin_where_the_name_says(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    width = OracleEngine().open(model, context=8, threads=1).info.n_embd
    np.full((2, width), 3, "<f4").tofile(folder / "1.2.norm.raw")
    (tmp_path / "my.stages").write_text(MAP)
    session = open_engine(f"dump:{folder}", stage_map=tmp_path / "my.stages").open(
        model, context=8, threads=1
    )
    heard: list[StageValue] = []
    with session.tap(StageFilter.parse("*:*"), heard.append):
        session.prefill([5, 6, 7, 8, 9])
    assert [(v.layer, v.stage, v.position, len(v.values)) for v in heard] == [(1, "attn_norm", 2, 2)]


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("attn_norm-1.bin", 100, "100 values of float32 are no rows of "),
        ("attn_norm-2.bin", 256, "layer 2 attn_norm is not in a model of 2 layers"),
        ("attn_probs-0.bin", 256, "are of unequal length"),
        ("something.bin", 256, "no file has the name of a stage; --stage-map FILE says which is which"),
    ],
)
def test_file_that_is_no_stage_of_the_model_is_refused(
    name: str, count: int, message: str, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    np.zeros(count, "<f4").tofile(folder / name)
    with pytest.raises(BadInput, match=re.escape(message)):
        open_engine(f"dump:{folder}").open(model, context=8, threads=1)
    with pytest.raises(BadInput, match="there is no such folder"):
        open_engine("dump:nowhere")
