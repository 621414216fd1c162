"""Conversion: exact in every direction that is possible, refused by tensor, row and column in every other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.formats.i2_s import I2_S
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.model.gguf_file import GgufFile
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.writer import TensorPlan, string_field, write_gguf

FORMATS = ("F32", "F16", "BF16", "I2_S", "TQ1_0", "TQ2_0")
SPEC = ModelSpec(n_layer=1)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_conversion_gives_the_file_that_make_model_writes(tmp_path: Path, source: str, target: str) -> None:
    """Byte for byte: weights, metadata and file type."""
    make_model(tmp_path / "source", replace(SPEC, weight_format=source))
    make_model(tmp_path / "expected", replace(SPEC, weight_format=target))
    convert(tmp_path / "source", tmp_path / "actual", target)
    assert (tmp_path / "actual").read_bytes() == (tmp_path / "expected").read_bytes()


@pytest.mark.parametrize("head", ["F32", "F16", "BF16"])
def test_head_format_is_converted_when_asked(tmp_path: Path, head: str) -> None:
    make_model(tmp_path / "source", replace(SPEC, arch="llama", tied=False, head_format="F32"))
    make_model(tmp_path / "expected", replace(SPEC, arch="llama", tied=False, head_format=head))
    convert(tmp_path / "source", tmp_path / "actual", "I2_S", head_format=head)
    assert (tmp_path / "actual").read_bytes() == (tmp_path / "expected").read_bytes()


def test_metadata_and_alignment_stay(tmp_path: Path) -> None:
    make_model(tmp_path / "source", SPEC)
    file = GgufFile(tmp_path / "source")
    alignment = (4).to_bytes(4, "little") + (128).to_bytes(4, "little")
    fields = {key: file.raw_field(key) for key in file.metadata}
    fields |= {"general.alignment": alignment, "general.author": string_field("somebody")}
    plans = [
        TensorPlan(t.name, t.shape, t.format, partial(list, [t.data])) for t in file.packed_tensors.values()
    ]
    write_gguf(tmp_path / "aligned", fields, plans, alignment=128)
    convert(tmp_path / "aligned", tmp_path / "target", "TQ2_0")
    converted = GgufFile(tmp_path / "target")
    assert converted.metadata["general.author"] == "somebody"
    assert converted.metadata["general.file_type"] == 37
    assert list(converted.metadata["tokenizer.ggml.merges"]) == list(file.metadata["tokenizer.ggml.merges"])
    assert converted.alignment == 128
    assert all(tensor.offset % 128 == 0 for tensor in converted.packed_tensors.values())


def with_matrix(path: Path, name: str, weight_format: str, packed: np.ndarray) -> Path:
    """The model with other bytes for one of its matrices, in x.gguf beside it."""
    file = GgufFile(path)
    fields = {key: file.raw_field(key) for key in file.metadata}
    plans = []
    for t in file.packed_tensors.values():
        new = t.name == name
        data = packed if new else t.data
        plans.append(TensorPlan(t.name, t.shape, weight_format if new else t.format, partial(list, [data])))
    write_gguf(path.with_name("x.gguf"), fields, plans)
    return path.with_name("x.gguf")


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_weights_that_are_not_ternary_are_refused_with_their_place(tmp_path: Path, value: float) -> None:
    make_model(tmp_path / "source", replace(SPEC, weight_format="F32"))
    values = np.zeros((768, 256), np.float32)
    values[0, 0], values[17, 200], values[500, 3] = 2.0, value, value
    source = with_matrix(tmp_path / "source", "blk.0.ffn_up.weight", "F32", values.reshape(-1).view(np.uint8))
    sentence = rf"x.gguf: tensor blk.0.ffn_up.weight: is not ternary: .* at row 17, column 200 is {value}"
    with pytest.raises(BadInput, match=sentence if value == 0.5 else "tensor blk.0.ffn_up.weight: is not"):
        convert(source, tmp_path / "target", "I2_S")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("target", ["TQ1_0", "TQ2_0", "F16", "BF16"])
def test_scale_that_the_format_would_round_is_refused(tmp_path: Path, target: str) -> None:
    make_model(tmp_path / "source", SPEC)
    packed = I2_S.pack_codes(np.ones((768, 256), np.int8), float(np.float32(0.1)))
    source = with_matrix(tmp_path / "source", "blk.0.ffn_up.weight", "I2_S", packed)
    with pytest.raises(BadInput, match=r"x\.gguf: tensor blk\.0\.ffn_up\.weight: .*(scale|weight) 0\.1"):
        convert(source, tmp_path / "target", target)


def test_scales_a_block_pass_between_tq_formats_and_are_refused_by_i2_s(tmp_path: Path) -> None:
    """What llama.cpp's own quantizer writes: every block has its own maximum."""
    make_model(tmp_path / "source", replace(SPEC, weight_format="TQ2_0"))
    values = np.random.default_rng(0).standard_normal((768, 256), dtype=np.float32)
    packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.TQ2_0).reshape(-1)
    source = with_matrix(tmp_path / "source", "blk.0.ffn_up.weight", "TQ2_0", packed)
    convert(source, tmp_path / "tq1", "TQ1_0")
    expected, actual = (open_model(path).weights.layers[0]["up"] for path in (source, tmp_path / "tq1"))
    assert actual.format == "TQ1_0"
    np.testing.assert_array_equal(actual.values(), expected.values())
    with pytest.raises(BadInput, match=r"I2_S cannot hold the weight .* at row 0, column"):
        convert(source, tmp_path / "i2s", "I2_S")


def test_scale_of_a_block_of_zeros_does_not_count(tmp_path: Path) -> None:
    make_model(tmp_path / "source", replace(SPEC, weight_format="TQ2_0"))
    values = np.zeros((768, 256), np.float32)
    values[::2] = 0.5
    packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.TQ2_0).reshape(
        -1
    )  # scales 0.5, 0, 0.5, ...
    source = with_matrix(tmp_path / "source", "blk.0.ffn_up.weight", "TQ2_0", packed)
    convert(source, tmp_path / "target", "I2_S")
    np.testing.assert_array_equal(open_model(tmp_path / "target").weights.layers[0]["up"].values(), values)


def test_head_that_the_format_would_round_is_refused_with_its_place(tmp_path: Path) -> None:
    make_model(tmp_path / "source", replace(SPEC, head_format="F32", n_vocab=4096))
    values = np.zeros((4096, 256), np.float32)
    values[3000, 7] = 0.1
    source = with_matrix(tmp_path / "source", "token_embd.weight", "F32", values.reshape(-1).view(np.uint8))
    with pytest.raises(BadInput, match=r"F16 cannot hold the weight 0\.1\d* at row 3000, column 7"):
        convert(source, tmp_path / "target", "I2_S", head_format="F16")


@pytest.mark.parametrize(
    ("weight_format", "head_format", "sentence"),
    [
        ("I3_S", None, "no weight format is named 'I3_S'"),
        ("QK256", None, "no type of its own in GGUF files"),
        ("I2_S", "I2_S", "the head format 'I2_S' is none of F32, F16, BF16"),
    ],
)
def test_format_that_cannot_be_is_told(
    tmp_path: Path, weight_format: str, head_format: str | None, sentence: str
) -> None:
    make_model(tmp_path / "source", SPEC)
    with pytest.raises(BadInput, match=sentence):
        convert(tmp_path / "source", tmp_path / "target", weight_format, head_format=head_format)


def test_conversion_onto_its_own_source_is_refused(tmp_path: Path) -> None:
    make_model(tmp_path / "x", SPEC)
    content = (tmp_path / "x").read_bytes()
    with pytest.raises(BadInput, match="would overwrite"):
        convert(tmp_path / "x", tmp_path / "x", "TQ1_0")
    assert (tmp_path / "x").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
