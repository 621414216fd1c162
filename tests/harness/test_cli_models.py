"""bitparity inspect, quantize and make-model, as typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bitparity.cli import main
from bitparity.model import open_model

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """run("inspect", path) -> (exit code, standard output, standard error)"""

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["bitparity", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def model(tmp_path: Path, run: Run) -> Path:
    assert run("make-model", tmp_path / "x.gguf", "--layers", 1)[0] == 0
    return tmp_path / "x.gguf"


def test_inspect_prints_shape_mapping_and_tensors(model: Path, run: Run) -> None:
    code, out, _ = run("inspect", model)
    assert code == 0
    assert "bitnet, 1 layers" in out
    assert "tensors: 13 (1 F16, 5 F32, 7 I2_S)" in out
    assert "head: tied, logits are products with token_embd.weight" in out
    assert "768 x 256" in out
    assert "tokenizer.ggml.tokens" not in out
    assert "checked:" not in out


def test_inspect_show_kv_prints_metadata_but_not_whole_arrays(model: Path, run: Run) -> None:
    _, out, _ = run("inspect", model, "--show-kv")
    assert "bitnet.block_count = 1" in out
    assert "tokenizer.ggml.pre = 'llama-bpe'" in out
    assert "(512 items)" in out
    assert max(map(len, out.splitlines())) < 200


def test_inspect_checks_the_mapping_under_debug_logits(
    model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITNET_DEBUG_LOGITS", "1")
    _, out, _ = run("inspect", model)
    assert "checked: 5 vectors and the first and last row of 7 matrices are finite" in out


def test_inspect_json_has_everything(model: Path, tmp_path: Path, run: Run) -> None:
    assert run("inspect", model, "--json", tmp_path / "x.json")[0] == 0
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["hyperparameters"]["n_embd"] == 256
    assert result["formats"] == {"F16": 1, "F32": 5, "I2_S": 7}
    assert result["tied_head"] is True
    assert len(result["metadata"]["tokenizer.ggml.tokens"]) == 512
    up = next(tensor for tensor in result["tensors"] if tensor["name"] == "blk.0.ffn_up.weight")
    assert (up["shape"], up["format"], up["bytes"]) == ([768, 256], "I2_S", 768 * 256 // 4 + 32)


def test_bad_file_is_one_sentence_and_exit_code_2(tmp_path: Path, run: Run) -> None:
    (tmp_path / "x.gguf").write_text("Once upon a time")
    code, out, err = run("inspect", tmp_path / "x.gguf")
    assert (code, out) == (2, "")
    assert err == "bitparity: x.gguf: is not a GGUF file: it begins with b'Once' instead of b'GGUF'\n"


def test_quantize_converts_and_reports(model: Path, tmp_path: Path, run: Run) -> None:
    target = tmp_path / "y.gguf"
    code, out, _ = run(
        "quantize", model, target, "--to", "TQ2_0", "--head", "F32", "--json", tmp_path / "y.json"
    )
    assert code == 0
    assert "1 TQ2_0" not in out
    assert "7 TQ2_0" in out
    assert open_model(target).format_counts() == {"F32": 6, "TQ2_0": 7}
    written = json.loads((tmp_path / "y.json").read_text())
    assert written == {
        "path": str(target),
        "bytes": target.stat().st_size,
        "formats": {"F32": 6, "TQ2_0": 7},
    }


@pytest.mark.parametrize("name", ["bitnet", "bitnet-b1.58"])
def test_bundled_models_are_known_by_name(tmp_path: Path, run: Run, name: str) -> None:
    code, out, _ = run("inspect", name)
    assert code == 0
    assert f"tiny-{name}.gguf: {name}, " in out
    assert run("quantize", name, tmp_path / "x.gguf", "--to", "F16")[0] == 0
    code, out, _ = run("verify-weights", tmp_path / "x.gguf", name)
    assert (code, out.startswith("the same: ")) == (0, True)


def test_inspect_without_a_model_takes_the_bundled_one(run: Run) -> None:
    assert run("inspect")[1] == run("inspect", "bitnet")[1]


def test_quantize_to_an_unknown_format_is_exit_code_2(model: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run("quantize", model, tmp_path / "y.gguf", "--to", "I3_S")
    assert code == 2
    assert "no weight format is named 'I3_S'" in err


def test_make_model_takes_every_part_of_the_shape(tmp_path: Path, run: Run) -> None:
    options = "--arch llama --layers 2 --width 512 --heads 8 --kv-heads 2 --ff 768 --vocab 300 --context 99"
    others = "--to TQ1_0 --head-format F32 --dedicated --embedding-transposed --rope-base 5e5 --seed 3"
    assert run("make-model", tmp_path / "x.gguf", *options.split(), *others.split())[0] == 0
    model = open_model(tmp_path / "x.gguf")
    hyper = model.hyper
    assert (hyper.arch, hyper.n_layer, hyper.n_embd, hyper.n_head, hyper.n_head_kv) == ("llama", 2, 512, 8, 2)
    assert (hyper.n_ff, hyper.n_vocab, hyper.context_length, hyper.rope_base) == (768, 300, 99, 5e5)
    assert model.weights.layers[0]["q"].format == "TQ1_0"
    assert (model.weights.head.name, model.weights.head.format) == ("output.weight", "F32")
    assert model.weights.embedding_is_transposed


def test_make_model_takes_its_seed_from_bitnet_seed(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("make-model", tmp_path / "expected.gguf", "--layers", 1, "--seed", 7)
    monkeypatch.setenv("BITNET_SEED", "7")
    run("make-model", tmp_path / "actual.gguf", "--layers", 1)
    assert (tmp_path / "actual.gguf").read_bytes() == (tmp_path / "expected.gguf").read_bytes()


def test_make_model_with_an_unknown_preset_names_those_there_are(tmp_path: Path, run: Run) -> None:
    code, _, err = run("make-model", tmp_path / "x.gguf", "--preset", "3b")
    assert code == 2
    assert "no preset is named '3b'; there are tiny, small, llama-tiny, BitNet-b1.58-2B-4T" in err
