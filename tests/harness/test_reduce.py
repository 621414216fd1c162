"""Reduction: what is left still shows the same, nothing more can be left out, and the scripts fail."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from bitparity import (
    BadInput,
    Comparison,
    NotCompared,
    Prompt,
    Side,
    cli,
    open_engine,
    open_model,
    read_settings,
)
from bitparity.engine import Engine
from bitparity.faults.catalogue import CATALOGUE
from bitparity.faults.plant import plant
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.engine import OracleEngine
from bitparity.reduce.bundle import SCRIPT, STAGE_SCRIPT, run_script, write_bundle
from bitparity.reduce.layers import write_layers
from bitparity.reduce.run import reduced
from bitparity.reduce.shrink import shrink
from bitparity.reduce.symptom import FarLogits, WrongStage, tokens_of, without_numbers

PROGRAM = Path(__file__).parent / "engines" / "planted_program.py"
TOKENS = tuple(range(10, 19))
LAYERS = 3
STALE = 5  # the position whose K and V the fault "stale KV row" never writes


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.gguf"
    make_model(path, ModelSpec(n_layer=LAYERS, n_vocab=320, context_length=64))
    return path


def planted(fault: str) -> Engine:
    return plant(next(f for f in CATALOGUE if f.name == fault), OracleEngine())


def program(fault: str, *flags: str) -> str:
    return "exec:" + shlex.join([sys.executable, str(PROGRAM), fault, *flags])


def comparison(
    model_file: Path, candidate: Engine, tokens: tuple[int, ...] = TOKENS, candidate_model: Path | None = None
) -> Comparison:
    model = open_model(model_file)
    return Comparison(
        Side(OracleEngine(), model),
        Side(candidate, open_model(candidate_model) if candidate_model else model),
        prompts=[Prompt(tokens=tokens)],
        settings=read_settings(),
        threads=1,
    )


@pytest.mark.parametrize(
    ("needed", "left"), [({7}, (7,)), ({3, 41}, (3, 41)), ({0, 1, 98, 99}, (0, 1, 98, 99)), (set(), (0,))]
)
def test_shrink_leaves_what_is_needed_and_nothing_else(needed: set[int], left: tuple[int, ...]) -> None:
    asked: list[tuple[int, ...]] = []

    def shows(part: tuple[int, ...]) -> bool:
        asked.append(part)
        return needed <= set(part)

    assert shrink(range(100), shows) == left
    assert len(asked) == len(set(asked)) < 200
    assert () not in asked


def test_shrink_keeps_the_order_and_all_of_what_cannot_be_left_out() -> None:
    assert shrink((5, 3, 9), lambda part: part == (5, 3, 9)) == (5, 3, 9)


def test_shrink_asks_nothing_of_one_item() -> None:
    assert shrink((4,), lambda part: pytest.fail("asked")) == (4,)


def test_layers_that_are_left_have_the_bytes_of_the_old_ones(model_file: Path, tmp_path: Path) -> None:
    write_layers(model_file, tmp_path / "less.gguf", (0, 2))
    whole, less = open_model(model_file), open_model(tmp_path / "less.gguf")
    assert less.hyper.n_layer == 2
    for name, tensor in less.tensors.items():
        old = name.replace("blk.1.", "blk.2.")
        assert (tensor.data == whole.tensors[old].data).all(), name
    assert set(less.tensors) == {name for name in whole.tensors if not name.startswith("blk.2.")}
    assert less.metadata["tokenizer.ggml.tokens"][5] == whole.metadata["tokenizer.ggml.tokens"][5]


def test_wrong_stage_is_left_with_one_token_and_one_layer(model_file: Path) -> None:
    with reduced(comparison(model_file, planted("epsilon"))) as found:
        assert isinstance(found.symptom, WrongStage)
        assert (found.symptom.layer, found.symptom.stage) == (0, "attn_norm")
        assert found.layers == (0,)
        assert len(tokens_of(found.comparison)) == 1
        assert found.comparison.meant.hyper.n_layer == 1
        assert found.symptom.shows(found.comparison)
        path = found.comparison.meant.path
    assert not path.exists()


def test_fault_of_a_later_position_keeps_the_tokens_before_it(model_file: Path) -> None:
    with reduced(comparison(model_file, planted("stale KV row"))) as found:
        assert found.layers == (0,)
        assert len(tokens_of(found.comparison)) == STALE + 1


def test_wrong_weight_in_one_file_leaves_its_layer_of_both_files(model_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(model_file.read_bytes())
    tensor = open_model(model_file).tensors["blk.2.ffn_norm.weight"]
    with other.open("r+b") as file:
        file.seek(tensor.offset)
        file.write((tensor.data.view(np.float32) * np.float32(1.5)).tobytes())
    with reduced(comparison(model_file, OracleEngine(), candidate_model=other)) as found:
        assert isinstance(found.symptom, WrongStage)
        assert (found.symptom.layer, found.symptom.stage) == (0, "ffn_norm")
        assert found.layers == (2,)
        assert found.comparison.candidate.model.path != found.comparison.reference.model.path
        assert {s.model.hyper.n_layer for s in (found.comparison.reference, found.comparison.candidate)} == {
            1
        }


def test_engine_without_stages_is_reduced_by_its_logits(model_file: Path) -> None:
    mute = open_engine(program("RoPE base", "--mute"))
    with reduced(comparison(model_file, mute), limit=1e-4) as found:
        assert isinstance(found.symptom, FarLogits)
        assert "read from outside" in found.symptom.sentence
        assert len(found.layers) == 1
        assert len(tokens_of(found.comparison)) == 2  # a rotation by 0 is none


def test_nothing_to_reduce_is_said(model_file: Path) -> None:
    with pytest.raises(BadInput, match="nothing to reduce: oracle and oracle agree"):  # noqa: SIM117
        with reduced(comparison(model_file, OracleEngine())):
            pass


def test_what_does_not_show_again_is_not_reduced(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WrongStage, "shows", lambda self, comparison: False)
    with pytest.raises(NotCompared, match="does not show again"):  # noqa: SIM117
        with reduced(comparison(model_file, planted("epsilon"))):
            pass


def test_numbers_and_paths_do_not_tell_one_failure_from_another() -> None:
    first = without_numbers("lib died at 0x7f21 in /tmp/a.gguf after 12 tokens")
    assert first == without_numbers("lib died at 0x11 in /var/b.gguf after 3 tokens")
    assert first != without_numbers("lib hung at 0x11 in /var/b.gguf after 3 tokens")


def test_bundle_has_scripts_that_fail_and_a_stage_for_numpy_alone(model_file: Path, tmp_path: Path) -> None:
    engine = program("scaled weight")
    folder = tmp_path / "bundle"
    with reduced(comparison(model_file, open_engine(engine))) as found:
        files = write_bundle(found, folder, ["--reference", "oracle", "--candidate", engine])
    assert set(files) == {"model.gguf", "reproduce.sh", "stage.npz", "stage.py"}
    assert files["model.gguf"] < model_file.stat().st_size
    code, said = run_script(folder / SCRIPT)
    assert (code, said.splitlines()[0].split()[0]) == (1, "DIVERGED")
    code, said = run_script(folder / STAGE_SCRIPT)
    assert code == 1
    assert "values are wrong; the largest error is" in said
    with np.load(folder / "stage.npz", allow_pickle=False) as case:
        assert {"input.ffn_norm", "actual", "expected", "allowed"} == set(case)
        np.testing.assert_allclose(case["actual"], 1.25 * case["expected"], rtol=1e-5)


def type_reduce(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["bitparity", "reduce", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_command_tells_what_is_left_and_that_the_scripts_fail(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, json_file = tmp_path / "out", tmp_path / "out.json"
    words: list[str | Path] = [
        model_file,
        "--reference",
        "oracle",
        "--candidate",
        program("epsilon"),
        "--tokens",
        "5,6,7",
    ]
    assert type_reduce(monkeypatch, *words, "--out", folder, "--json", json_file) == 0
    said = capsys.readouterr().out
    assert "planted is wrong: layer 0, attn_norm" in said
    assert [line.split() for line in said.splitlines() if line.startswith(("tokens  ", "layers  "))] == [
        ["tokens", "3", "1"],
        ["layers", str(LAYERS), "1"],
    ]
    data = json.loads(json_file.read_text())
    assert {name: script["exit_code"] for name, script in data["scripts"].items()} == {
        SCRIPT: 1,
        STAGE_SCRIPT: 1,
    }
    assert data["tokens"] == {"before": 3, "after": 1}
    assert type_reduce(monkeypatch, *words, "--out", folder) == 2
    assert "exists already" in capsys.readouterr().err


def test_crash_is_reduced_to_the_token_that_causes_it(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crashing = program("epsilon", "--mute", "--dies-of", "13")
    words: list[str | Path] = [
        model_file,
        "--reference",
        "oracle",
        "--candidate",
        crashing,
        "--tokens",
        "10,11,12,13,14",
    ]
    assert type_reduce(monkeypatch, *words, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "tokens left  13\n" in said
    assert "layers left  0\n" in said
    assert f"{SCRIPT} exits with 5: ENGINE FAILED" in said
