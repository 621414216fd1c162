"""What a file says of itself: each check on a file that has the fault, and none on a sound one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity import cli
from bitparity.architectures import ARCHITECTURES
from bitparity.errors import BadInput, NotCompared
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.checks import Finding, Severity, check_model, refuse_to_run
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Tensor
from bitparity.model.writer import (
    TensorPlan,
    bool_field,
    float32_field,
    int32s_field,
    string_field,
    strings_field,
    uint32_field,
)
from bitparity.tokenizer.byte_level import CHARACTER_OF
from rewrite import Change, rewrite

_UP = "blk.3.ffn_up.weight"


def found_in(path: Path, *engines: str) -> list[Finding]:
    return check_model(open_model(path), engines=engines)


def the_one(path: Path, *engines: str) -> Finding:
    (finding,) = found_in(path, *engines)
    assert finding.sentence.count("\n") == 0
    return finding


def scale(value: float, at: tuple[int, ...]) -> Change:
    def change(data: NDArray[np.uint8], tensor: Tensor) -> None:
        tensor.weight_format.scales_in(data, *tensor.shape)[at] = value

    return change


def weight(value: float, at: int, dtype: str) -> Change:
    def change(data: NDArray[np.uint8], tensor: Tensor) -> None:
        data.view(dtype)[at] = value

    return change


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("weight_format", ["TQ1_0", "TQ2_0", "I2_S", "F16", "BF16", "F32"])
def test_bundled_model_has_nothing_to_find(arch: str, weight_format: str) -> None:
    assert check_model(open_model(bundled_model(arch, weight_format))) == []


@pytest.mark.parametrize(
    ("weight_format", "tensor", "change", "words"),
    [
        ("TQ2_0", _UP, scale(np.nan, (0, 0)), "the scale of row 0, columns 0 to 255 is nan;"),
        ("TQ1_0", "blk.5.ffn_down.weight", scale(np.inf, (255, 2)), "row 255, columns 512 to 767 is inf;"),
        ("I2_S", _UP, scale(np.nan, (0,)), "the scale of the tensor is nan;"),
        ("I2_S", "blk.0.attn_norm.weight", weight(np.nan, 7, "<f4"), "the weight 7 is nan;"),
        ("I2_S", "token_embd.weight", weight(-np.inf, 256 * 3 + 5, "<f2"), "at row 3, column 5 is -inf;"),
        ("BF16", _UP, weight(0x7FC0, 256, "<u2"), "the weight at row 1, column 0 is nan;"),
    ],
)
def test_value_that_is_not_finite_stops_a_run(
    weight_format: str, tensor: str, change: Change, words: str, tmp_path: Path
) -> None:
    source = bundled_model("bitnet", weight_format)
    finding = the_one(rewrite(source, tmp_path / "m.gguf", changes={tensor: change}))
    assert finding.severity is Severity.STOP
    assert finding.sentence.startswith(f"tensor {tensor} ({open_model(source).tensors[tensor].format}): ")
    assert words in finding.sentence


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    def change(data: NDArray[np.uint8], tensor: Tensor) -> None:
        tensor.weight_format.scales_in(data, *tensor.shape)[5:9] = np.nan

    path = rewrite(bundled_model("bitnet", "TQ2_0"), tmp_path / "m.gguf", changes={_UP: change})
    assert "row 5, columns 0 to 255 is nan, and 3 more are not finite" in the_one(path).sentence


@pytest.mark.parametrize("weight_format", ["I2_S", "TQ2_0"])
def test_code_that_no_packer_writes_stops_a_run(weight_format: str, tmp_path: Path) -> None:
    def change(data: NDArray[np.uint8], tensor: Tensor) -> None:
        data[1] = 0xFF

    path = rewrite(bundled_model("bitnet", weight_format), tmp_path / "m.gguf", changes={_UP: change})
    finding = the_one(path)
    assert finding.severity is Severity.STOP
    assert f"tensor {_UP} ({weight_format}): 1 bytes hold codes that no packer writes" in finding.sentence


@pytest.mark.parametrize("weight_format", ["IQ2_BN", "IQ1_BN"])
def test_scales_of_ik_llama_cpps_rows_are_no_codes(weight_format: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    rewrite(bundled_model("bitnet", "TQ2_0"), path, formats={_UP: weight_format})
    assert not [finding for finding in check_model(open_model(path)) if finding.subject == _UP]


def test_norm_of_zeros_stops_a_run(tmp_path: Path) -> None:
    def change(data: NDArray[np.uint8], tensor: Tensor) -> None:
        data[:] = 0

    path = rewrite(bundled_model(), tmp_path / "m.gguf", changes={"output_norm.weight": change})
    assert the_one(path).sentence.startswith("tensor output_norm.weight: all 256 weights are zero")


@pytest.mark.parametrize(
    ("arch", "key", "value", "activation"),
    [
        ("bitnet", "bitnet.hidden_activation", "relu2", "relu2"),
        ("bitnet-b1.58", "bitnet-b1.58.hidden_act", "silu", "silu"),
        ("bitnet", "bitnet.hidden_act", "squared_relu", "relu2"),
    ],
)
def test_declared_activation_is_computed_and_named(
    arch: str, key: str, value: str, activation: str, tmp_path: Path
) -> None:
    path = rewrite(bundled_model(arch), tmp_path / "m.gguf", fields={key: string_field(value)})
    assert open_model(path).hyper.activation == activation
    finding = the_one(path, "bitnet.cpp", "native")
    assert finding.severity is Severity.WARNING
    assert finding.sentence.startswith(f"{key} is {value!r}: the file declares {activation}, bitnet.cpp ")
    assert found_in(path, "native", "oracle") == []  # which compute what is declared


def test_declared_activation_of_the_architecture_is_no_finding(tmp_path: Path) -> None:
    fields = {"bitnet.hidden_act": string_field("silu")}
    assert found_in(rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields)) == []


def test_activation_that_nobody_computes_is_refused_by_its_key(tmp_path: Path) -> None:
    fields = {"bitnet.hidden_activation": string_field("mish")}
    path = rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields)
    with pytest.raises(BadInput, match="is 'mish'; supported are silu"):
        open_model(path)


@pytest.mark.parametrize("weight_format", ["F16", "BF16"])
@pytest.mark.parametrize("norm", ["output_norm.weight", "blk.1.ffn_sub_norm.weight"])
def test_norms_on_which_references_abort_stop_only_their_runs(
    weight_format: str, norm: str, tmp_path: Path
) -> None:
    path = rewrite(bundled_model(), tmp_path / "m.gguf", formats={norm: weight_format})
    finding = the_one(path, "llama.cpp", "native")
    assert finding.severity is Severity.STOP
    assert f"tensor {norm} is {weight_format} (1 of the norms are not F32)" in finding.sentence
    assert "llama.cpp abort" in finding.sentence
    assert found_in(path, "native", "oracle") == []
    with pytest.raises(NotCompared, match="--force"):
        refuse_to_run([finding], path.name)


def test_head_that_a_reference_ignores_stops_its_runs(tmp_path: Path) -> None:
    model = open_model(bundled_model("bitnet-b1.58"))
    embedding = model.weights.token_embd
    other = np.roll(embedding.data, 2)
    head = TensorPlan("output.weight", embedding.shape, embedding.format, lambda: [other])
    path = rewrite(model.path, tmp_path / "m.gguf", tensors=[head])
    assert "bitnet.cpp loads it and multiplies by the embedding" in the_one(path, "bitnet.cpp").sentence
    assert found_in(path, "native") == []
    copy = TensorPlan("output.weight", embedding.shape, embedding.format, lambda: [embedding.data])
    assert found_in(rewrite(model.path, tmp_path / "m.gguf", tensors=[copy]), "bitnet.cpp") == []


@pytest.mark.parametrize(
    ("key", "field", "words"),
    [
        ("attention.causal", bool_field(False), "is False, which would change which positions see which"),
        ("attention.scale", float32_field(1.0), "is 1.0, which would change the scale of attention scores"),
        ("attention.sliding_window", uint32_field(64), "is 64, which would change how far positions see"),
        ("logit_scale", float32_field(0.5), "is 0.5, which would change logits"),
        ("pooling_type", uint32_field(1), "is 1, which would change the output, which would be pooled"),
    ],
)
def test_key_that_would_change_the_function_stops_a_run(
    key: str, field: bytes, words: str, tmp_path: Path
) -> None:
    path = rewrite(bundled_model(), tmp_path / "m.gguf", fields={f"bitnet.{key}": field})
    finding = the_one(path)
    assert finding.severity is Severity.STOP
    assert f"bitnet.{key} {words}" in finding.sentence


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("attention.causal", bool_field(True)),
        ("attention.scale", float32_field(0.125)),  # of heads of 64
        ("attention.sliding_window", uint32_field(1 << 20)),
        ("logit_scale", float32_field(1.0)),
        ("pooling_type", uint32_field(0)),
    ],
)
def test_key_with_a_neutral_value_is_no_finding(key: str, field: bytes, tmp_path: Path) -> None:
    assert found_in(rewrite(bundled_model(), tmp_path / "m.gguf", fields={f"bitnet.{key}": field})) == []


def test_key_of_another_architecture_is_named(tmp_path: Path) -> None:
    fields = {"llama.rope.freq_base": float32_field(500000.0)}
    finding = the_one(rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields))
    assert finding.severity is Severity.WARNING
    assert finding.sentence.startswith("llama.rope.freq_base is a key of another architecture than 'bitnet'")


@pytest.mark.parametrize("arch", list(ARCHITECTURES))
def test_synthetic_model_of_every_architecture_has_nothing_to_find(arch: str, tmp_path: Path) -> None:
    make_model(tmp_path / "m.gguf", ModelSpec(arch, n_layer=1, n_vocab=300))
    assert check_model(open_model(tmp_path / "m.gguf")) == []


def test_file_type_that_no_tensor_has_is_a_note(tmp_path: Path) -> None:
    fields = {"general.file_type": uint32_field(40)}
    finding = the_one(rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields))
    assert finding.severity is Severity.NOTE
    assert "general.file_type is 40, I2_S, and no tensor is in it" in finding.sentence


@pytest.mark.parametrize("name", [None, ""])
def test_missing_pre_tokenizer_is_cut_as_the_references_do_and_said(name: str | None, tmp_path: Path) -> None:
    fields = {} if name is None else {"tokenizer.ggml.pre": string_field(name)}
    path = rewrite(bundled_model(), tmp_path / "m.gguf", without=["tokenizer.ggml.pre"], fields=fields)
    finding = the_one(path)
    assert finding.severity is Severity.WARNING
    assert "tokenizer.ggml.pre is missing: texts are cut as by 'default'" in finding.sentence
    assert "cut as by 'llama-bpe' the ids would be others from offset 2 on" in finding.sentence
    (plain,) = check_model(open_model(path), texts=["A list of items"])
    assert plain.sentence.endswith("cut as by 'llama-bpe' the ids of these texts would be the same")
    (other,) = check_model(open_model(path), texts=["A list", "of 12 items, isn't it"])
    assert """the ids would be others from offset 7 on: "'t" where it is now "'\"""" in other.sentence


def test_named_default_pre_tokenizer_is_no_finding(tmp_path: Path) -> None:
    fields = {"tokenizer.ggml.pre": string_field("default")}
    assert found_in(rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields)) == []


def test_vocabulary_faults_are_named(tmp_path: Path) -> None:
    tokens = list(open_model(bundled_model()).metadata["tokenizer.ggml.tokens"])
    tokens[0] = tokens[-1]
    cases: list[tuple[dict[str, bytes], list[str], str]] = [
        ({"tokenizer.ggml.tokens": strings_field(tokens)}, [], "has '999' 2 times (1 such tokens)"),
        ({}, ["tokenizer.ggml.merges"], "tokenizer.ggml.merges is missing"),
        ({"tokenizer.ggml.token_type": int32s_field([1] * 9)}, [], "has 9 entries for 3,584 tokens"),
        ({"tokenizer.ggml.bos_token_id": uint32_field(4000)}, [], "is 4000, outside the 3,584 tokens"),
        ({"tokenizer.ggml.pre": string_field("new-bpe")}, [], "is 'new-bpe', which is not known here"),
    ]
    for fields, without, words in cases:
        path = rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields, without=without)
        assert words in the_one(path, "llama.cpp", "native").sentence


def test_character_that_the_vocabulary_cannot_spell_is_named(tmp_path: Path) -> None:
    tokens = list(open_model(bundled_model()).metadata["tokenizer.ggml.tokens"])
    tokens[tokens.index(CHARACTER_OF[0xC3])] = "nothing"
    fields = {"tokenizer.ggml.tokens": strings_field(tokens)}
    model = open_model(rewrite(bundled_model(), tmp_path / "m.gguf", fields=fields))
    (finding,) = check_model(model, texts=["a caf\u00e9", "plain"])
    assert finding.severity is Severity.WARNING
    assert "has no token for the byte 0xC3 of '\u00e9' (U+00E9)" in finding.sentence
    assert check_model(model, texts=["plain"]) == []


def test_gravest_finding_comes_first_and_refuses(tmp_path: Path) -> None:
    path = rewrite(
        bundled_model(),
        tmp_path / "m.gguf",
        fields={"general.file_type": uint32_field(40)},
        without=["tokenizer.ggml.pre"],
        changes={_UP: scale(np.nan, (0, 0))},
        formats={"output_norm.weight": "F16"},
    )
    found = found_in(path, "llama.cpp")
    assert [finding.severity.value for finding in found] == ["stop", "stop", "warning", "note"]
    with pytest.raises(BadInput, match=rf"m.gguf: tensor {_UP} .* \(and 1 more such findings;"):
        refuse_to_run(found, path.name)


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type a command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["bitparity", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "{}", "--reference", "oracle", "--candidate", "oracle", "--tokens", "1,2"],
        ["run", "{}", "--engine", "oracle", "--tokens", "1,2", "--max-tokens", "1"],
        ["verify-weights", "{}", "{}"],
    ],
)
def test_commands_stop_before_anything_runs_unless_forced(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {_UP: scale(np.nan, (3, 0))}
    path = rewrite(bundled_model("bitnet", "TQ2_0"), tmp_path / "m.gguf", changes=changes)
    typed_words = [word.format(path) for word in words]
    assert typed(monkeypatch, *typed_words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"bitparity: m.gguf: tensor {_UP} (TQ2_0): the scale of row 3, ")
    assert "nothing was run, --force runs it all the same" in said.err
    assert typed(monkeypatch, *typed_words, "--force") != 2
    assert f"m.gguf: tensor {_UP}" in capsys.readouterr().err


def test_inspect_lists_all_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {_UP: scale(np.nan, (3, 0))}
    fields = {"general.file_type": uint32_field(40)}
    path = rewrite(bundled_model("bitnet", "TQ2_0"), tmp_path / "m.gguf", changes=changes, fields=fields)
    json_file = tmp_path / "m.json"
    assert typed(monkeypatch, "inspect", str(path), "--json", str(json_file)) == 0
    said = capsys.readouterr().out
    assert f"stop: tensor {_UP} (TQ2_0): the scale of row 3" in said
    assert "note: general.file_type is 40, I2_S" in said
    assert [f["severity"] for f in json.loads(json_file.read_text())["findings"]] == ["stop", "note"]


def test_comparison_that_agrees_tells_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rewrite(bundled_model(), tmp_path / "m.gguf", without=["tokenizer.ggml.pre"])
    json_file = tmp_path / "r.json"
    words = ["--reference", "oracle", "--candidate", "oracle", "--prompt", "It's"]
    assert typed(monkeypatch, "compare", str(path), *words, "--json", str(json_file)) == 0
    said = capsys.readouterr()
    assert said.err.startswith("m.gguf: tokenizer.ggml.pre is missing")
    assert "tokenizer.ggml.pre is missing" in said.out
    (finding,) = json.loads(json_file.read_text())["findings"]
    assert finding["subject"] == "tokenizer.ggml.pre"
    assert finding["severity"] == "warning"
