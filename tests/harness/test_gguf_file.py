"""Reading GGUF files: values and tensors as the gguf package reads them, bitnet.cpp's types, and lazily."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.formats.tl1 import TL1Format
from bitparity.formats.tl2 import TL2Format
from bitparity.fuzz.cases import SMALL_TL1, SMALL_TL2
from bitparity.model import open_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.presets import PRESETS
from bitparity.model.synthetic import make_model
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
    tensor = open_model(tmp_path / "x.gguf").weights.layers[0]["q"]
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


def test_big_vocabulary_is_read_whole(tmp_path: Path) -> None:
    """The 128,256 tokens of 2B-4T; the gguf package alone takes 13.6 s of CPU for them."""
    vocabulary = make_vocabulary(128_256)
    fields = {
        "tokenizer.ggml.tokens": strings_field(vocabulary.tokens),
        "tokenizer.ggml.merges": strings_field(vocabulary.merges),
        "tokenizer.ggml.token_type": int32s_field(vocabulary.types),
    }
    write_gguf(tmp_path / "x.gguf", fields, [])
    metadata = GgufFile(tmp_path / "x.gguf").metadata
    assert list(metadata["tokenizer.ggml.tokens"]) == vocabulary.tokens
    assert list(metadata["tokenizer.ggml.merges"]) == vocabulary.merges


TILED = {"TL1": TL1Format(SMALL_TL1), "TL2": TL2Format(SMALL_TL2)}
SHAPES = {"TL1": (64, 128), "TL2": (32, 320)}


def write_table(path: Path, entries: list[tuple[str, tuple[int, ...], int, int]], data: bytes) -> None:
    """A file with this tensor table (name, axes innermost first, type, offset), whatever it says."""
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(entries), 0)
    for name, axes, kind, offset in entries:
        header += struct.pack("<Q", len(name)) + name.encode()
        header += struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, kind, offset)
    path.write_bytes(header + bytes(-len(header) % 32) + data)


def tiled_case(name: str) -> tuple[np.ndarray, bytes, list[tuple[str, tuple[int, ...], int, int]]]:
    """Codes, a file's data and its tensor table: a packed weight "w", its scale and another tensor."""
    rows, cols = SHAPES[name]
    codes = np.random.default_rng(0).integers(-1, 2, (rows, cols), dtype=np.int8)
    packed = TILED[name].pack_codes(codes, 0.375)
    entries: list[tuple[str, tuple[int, ...], int, int]] = [
        ("w", (cols, rows), TILED[name].ggml_type, 0),
        ("w_scale", (), 0, packed.size - 32),
        ("next", (8,), 0, packed.size),
    ]
    return codes, packed.tobytes() + np.arange(8, dtype="<f4").tobytes(), entries


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("is_listed", [True, False])
def test_scale_of_a_table_lookup_tensor_is_its_tail(tmp_path: Path, name: str, is_listed: bool) -> None:
    codes, data, entries = tiled_case(name)
    write_table(tmp_path / "x.gguf", [e for e in entries if is_listed or e[0] != "w_scale"], data)
    file = GgufFile(tmp_path / "x.gguf", TILED[name].tilings)
    assert list(file.packed_tensors) == ["w", "next"]
    assert file.packed_tensors["w"].format == name
    np.testing.assert_array_equal(file.packed_tensors["w"].values(), codes * np.float32(0.375))
    np.testing.assert_array_equal(file.packed_tensors["next"].values(), np.arange(8))


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize(
    ("axes", "kind", "shift"), [((), 0, 32), ((2,), 0, 0), ((), 1, 0)], ids=["elsewhere", "two", "F16"]
)
def test_scale_that_is_not_in_the_tail_is_refused(
    tmp_path: Path, name: str, axes: tuple[int, ...], kind: int, shift: int
) -> None:
    _, data, entries = tiled_case(name)
    start = entries[1][3]
    entries[1] = ("w_scale", axes, kind, start + shift)
    write_table(tmp_path / "x.gguf", entries, data)
    with pytest.raises(
        BadInput, match=r"w_scale is no single float32 at byte [\d,]+, where bitnet\.cpp reads"
    ):
        GgufFile(tmp_path / "x.gguf")


def test_tensor_without_axes_that_is_no_scale_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "x.gguf", [("w_scale", (), 0, 0)], bytes(32))
    with pytest.raises(BadInput, match=r"tensor w_scale has the shape \[\]"):
        GgufFile(tmp_path / "x.gguf")
