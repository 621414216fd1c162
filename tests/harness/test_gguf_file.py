"""Reading GGUF files: values and tensors as the gguf package reads them, bitnet.cpp's types, and lazily."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from bitparity.model import open_model
from bitparity.model.gguf_file import GgufFile, StringArray
from bitparity.model.synthetic import PRESETS, make_model
from bitparity.model.synthetic_vocabulary import make_vocabulary
from bitparity.model.tensor_types import tensor_size, type_name
from bitparity.model.writer import TensorPlan, int32s_field, string_field, strings_field, write_gguf


def write_with_gguf_package(path: Path) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "bitnet")
    writer.add_uint64("test.number", 2**40)
    writer.add_float32("test.real", 0.1)
    writer.add_bool("test.flag", True)
    writer.add_string("test.text", "na\u00efve \U0001f600")
    writer.add_array("test.words", ["", "a", "\u0120the"])
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_custom_alignment(64)
    writer.add_tensor("first", np.arange(10, dtype=np.float32).reshape(2, 5))
    writer.add_tensor("second", np.arange(3, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return writer


def test_metadata_written_by_the_gguf_package_is_read(tmp_path: Path) -> None:
    write_with_gguf_package(tmp_path / "x.gguf")
    metadata = GgufFile(tmp_path / "x.gguf").metadata
    assert metadata["general.architecture"] == "bitnet"
    assert metadata["test.number"] == 2**40
    assert metadata["test.real"] == np.float32(0.1)
    assert metadata["test.flag"] is True
    assert metadata["test.text"] == "na\u00efve \U0001f600"
    assert list(metadata["test.words"]) == ["", "a", "\u0120the"]
    assert metadata["test.numbers"].tolist() == [1, -2, 3]


def test_tensors_written_by_the_gguf_package_are_read(tmp_path: Path) -> None:
    write_with_gguf_package(tmp_path / "x.gguf")
    file = GgufFile(tmp_path / "x.gguf")
    first, second = file.packed_tensors.values()
    assert (file.alignment, first.offset % 64, second.offset % 64) == (64, 0, 0)
    assert (first.shape, first.format) == ((2, 5), "F32")
    np.testing.assert_array_equal(first.values(), np.arange(10).reshape(2, 5))
    np.testing.assert_array_equal(second.values(), [0, 1, 2])


def test_own_writer_is_read_by_the_gguf_package(tmp_path: Path) -> None:
    data = np.arange(12, dtype=np.float32).view(np.uint8)
    fields = {
        "general.architecture": string_field("bitnet"),
        "test.words": strings_field(["a", "\u0120b"]),
        "test.numbers": int32s_field([3, 4]),
    }
    plan = TensorPlan("x", (3, 4), "F32", lambda: [data[:20], data[20:]])
    write_gguf(tmp_path / "x.gguf", fields, [plan])
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    assert reader.fields["test.words"].contents() == ["a", "\u0120b"]
    assert reader.fields["test.numbers"].contents() == [3, 4]
    np.testing.assert_array_equal(reader.tensors[0].data, np.arange(12).reshape(3, 4))


def test_raw_fields_are_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_with_gguf_package(path)
    file = GgufFile(path)
    for key in file.metadata:
        field = len(key).to_bytes(8, "little") + key.encode() + file.raw_field(key)
        assert path.read_bytes().count(field) == 1
    assert file.raw_field("test.flag") == (7).to_bytes(4, "little") + b"\x01"


@pytest.mark.parametrize("weight_format", ["I2_S", "TQ1_0", "TQ2_0"])
def test_tensor_data_is_a_view_of_the_memory_map(tmp_path: Path, weight_format: str) -> None:
    make_model(tmp_path / "x.gguf", replace(PRESETS["tiny"], weight_format=weight_format))
    tensor = open_model(tmp_path / "x.gguf").weights.layers[0].q
    assert tensor.format == weight_format
    assert not tensor.data.flags.owndata
    raw = (tmp_path / "x.gguf").read_bytes()
    assert raw[tensor.offset : tensor.offset + tensor.data.size] == tensor.data.tobytes()


def test_type_39_is_told_apart_by_its_room() -> None:
    shape = (640, 2560)
    triples, pairs = 2304 * 640 // 3 * 5 // 8, 256 * 640 // 2 * 4 // 8  # bitnet.cpp ggml_nbytes
    assert tensor_size("TL2", shape) == triples + pairs + 32 == 348_192
    assert type_name(39, shape, tensor_size("TL2", shape), 32) == "TL2"
    assert type_name(39, shape, tensor_size("MXFP4", shape), 32) == "MXFP4"


def test_private_type_38_is_tl1() -> None:
    assert type_name(38, (64, 128), 0, 32) == "TL1"
    assert tensor_size("TL1", (64, 128)) == 64 * 128 // 4 + 32


def test_strings_are_decoded_when_first_asked_for() -> None:
    data = np.frombuffer(b"".join(len(s).to_bytes(8, "little") + s for s in (b"a", b"", b"\xff")), np.uint8)
    strings = StringArray(data, 3)
    assert len(strings) == 3
    assert strings[-1] == "\ufffd"  # not UTF-8: shown, not fatal
    assert strings[:2] == ["a", ""]
    assert list(strings) == ["a", "", "\ufffd"]


def test_big_vocabulary_opens_in_half_a_second(tmp_path: Path) -> None:
    """The 128,256 tokens of 2B-4T; the gguf package alone took 13.6 s of CPU for them."""
    vocabulary = make_vocabulary(128_256)
    fields = {
        "tokenizer.ggml.tokens": strings_field(vocabulary.tokens),
        "tokenizer.ggml.merges": strings_field(vocabulary.merges),
        "tokenizer.ggml.token_type": int32s_field(vocabulary.types),
    }
    write_gguf(tmp_path / "x.gguf", fields, [])
    started = time.process_time()
    metadata = GgufFile(tmp_path / "x.gguf").metadata
    assert time.process_time() - started < 0.5
    assert list(metadata["tokenizer.ggml.tokens"]) == vocabulary.tokens
    assert list(metadata["tokenizer.ggml.merges"]) == vocabulary.merges
