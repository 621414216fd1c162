"""Every way in which a model file can be wrong: one sentence each, which begins with the file's name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bitparity.errors import BadInput, ShapeError
from bitparity.model import open_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.writer import (
    TensorPlan,
    float32_field,
    string_field,
    strings_field,
    uint32_field,
    write_gguf,
)

Fields = dict[str, bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.gguf"
    make_model(path, ModelSpec(n_layer=1))
    return path.read_bytes()


def open_bytes(folder: Path, data: bytes) -> None:
    (folder / "bad.gguf").write_bytes(data)
    open_model(folder / "bad.gguf")


def patched(data: bytes, tensor: str, at: int, layout: str, value: int) -> bytes:
    """Change a matrix's entry in the tensor table: at 4 are its axes, at 20 its type, at 24 its offset."""
    start = data.index(struct.pack("<Q", len(tensor)) + tensor.encode()) + 8 + len(tensor) + at
    new = struct.pack(layout, value)
    return data[:start] + new + data[start + len(new) :]


def renamed(data: bytes, old: str, new: str) -> bytes:
    assert len(old) == len(new)
    assert data.count(old.encode()) == 1
    return data.replace(old.encode(), new.encode())


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda d: b"", "the file is empty"),
    "text": (lambda d: b"Once upon a time", "is not a GGUF file: it begins with b'Once'"),
    "truncated-magic": (lambda d: d[:3], "the header needs 24 bytes but the file has 3"),
    "truncated-counts": (lambda d: d[:20], "the header needs 24 bytes but the file has 20"),
    "truncated-metadata": (lambda d: d[:100], r"the header needs \d+ bytes but the file has 100"),
    "truncated-strings": (lambda d: d[:2000], "the header ends inside an array of 512 strings"),
    "truncated-tensor-table": (
        lambda d: d[: d.index(b"token_embd.weight") + 20],
        r"the header needs [\d,]+ bytes but the file has [\d,]+; download it again",
    ),
    "truncated-data": (
        lambda d: d[:-1],
        r"tensor output_norm\.weight ends at byte 477,\d+ but the file has 477,\d+; download it again",
    ),
    "version": (lambda d: d[:4] + b"\x09" + d[5:], "is GGUF version 9; versions 2 and 3 can be read"),
    "big-endian": (lambda d: d[:4] + b"\0\0\0\x03" + d[8:], "is a big-endian GGUF file"),
    "duplicate-key": (
        lambda d: renamed(d, "bitnet.rope.freq_base", "bitnet.context_length"),
        "metadata key bitnet.context_length occurs twice",
    ),
    "name-of-no-text": (
        lambda d: d.replace(b"general.name", b"general.nam\xff"),
        "the header has a name that is not UTF-8 at byte 70",
    ),
    "value-type": (
        lambda d: d.replace(b"general.name\x08", b"general.name\x4d"),
        r"the header has a value of type 77 at byte \d+",
    ),
    "nested-array": (
        lambda d: d.replace(struct.pack("<II", 9, 5), struct.pack("<II", 9, 9)),
        r"the header has an array of type 9 at byte [\d,]+",
    ),
    "unknown-type": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 20, "<I", 99),
        "tensor blk.0.ffn_up.weight has the type 99, which neither bitparity nor any engine found here knows",
    ),
    "removed-type": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 20, "<I", 37),
        "tensor blk.0.ffn_up.weight has the type 37",
    ),
    "type-39-of-no-known-size": (
        lambda d: patched(d, "blk.0.ffn_down.weight", 20, "<I", 39),
        "tensor blk.0.ffn_down.weight has the type 39, but its 49,184 bytes fit neither TL2",
    ),
    "offset-beyond-the-file": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 24, "<Q", 1 << 40),
        "tensor blk.0.ffn_up.weight begins at byte 1,099,511,6",
    ),
    "offset-misaligned": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 24, "<Q", 33),
        "tensor blk.0.ffn_up.weight begins at byte .* or no multiple of 32",
    ),
    "too-many-axes": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 0, "<I", 5),
        "tensor blk.0.ffn_up.weight has 5 axes, and 4 are the most there are",
    ),
    "axes": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 4, "<Q", 0),
        r"tensor blk.0.ffn_up.weight has the shape \[768, 0\]",
    ),
    "ragged-row": (
        lambda d: patched(d, "blk.0.ffn_up.weight", 4, "<Q", 250),
        "tensor blk.0.ffn_up.weight I2_S: 250 columns is not a multiple of its block of 128",
    ),
    "duplicate-tensor": (
        lambda d: renamed(d, "blk.0.attn_q.weight", "blk.0.attn_v.weight"),
        "tensor blk.0.attn_v.weight occurs twice",
    ),
    "missing-tensor": (
        lambda d: renamed(d, "blk.0.attn_q.weight", "blk.0.attn_x.weight"),
        r"tensor blk.0.attn_q.weight is missing; its shape would be \[256, 256\]",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_file_is_told_in_a_sentence(tmp_path: Path, good: bytes, name: str) -> None:
    damage, sentence = DAMAGES[name]
    damaged = damage(good)
    assert damaged != good
    with pytest.raises(BadInput, match=sentence) as caught:
        open_bytes(tmp_path, damaged)
    assert str(caught.value).startswith("bad.gguf: ")
    assert "\n" not in str(caught.value)


def test_file_cut_anywhere_is_told_in_a_sentence(tmp_path: Path, good: bytes) -> None:
    lengths = np.unique(np.geomspace(1, len(good) - 1, 100).astype(int))
    for length in lengths:
        with pytest.raises(BadInput, match=r"bad\.gguf: "):
            open_bytes(tmp_path, good[:length])


def test_missing_file_and_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nope\.gguf: no such file"):
        open_model(tmp_path / "nope.gguf")
    with pytest.raises(BadInput, match="so it is no checkpoint"):
        open_model(tmp_path)


METADATA: dict[str, tuple[Fields, str]] = {
    "unknown-architecture": (
        {"general.architecture": string_field("mamba")},
        "the architecture 'mamba' is none of bitnet, bitnet-25, bitnet-b1.58, llama, qwen3, gemma3",
    ),
    "longrope": ({"bitnet.rope.scaling.type": string_field("longrope")}, "rope.scaling.type is 'longrope'"),
    "rope-factor": ({"bitnet.rope.scaling.factor": float32_field(0.5)}, r"rope.scaling.factor is 0\.5"),
    "rope-attention": (
        {"bitnet.rope.scaling.attn_factor": float32_field(2)},
        r"rope.scaling.attn_factor is 2\.0; only 1\.0 is supported",
    ),
    "alignment": ({"general.alignment": uint32_field(48)}, "general.alignment is 48, not a power of two"),
    "alignment-text": ({"general.alignment": string_field("32")}, "general.alignment is '32', not a power"),
    "experts": ({"bitnet.expert_count": uint32_field(8)}, "expert_count is 8; experts are not supported"),
    "heads": ({"bitnet.attention.head_count": uint32_field(7)}, "7 heads do not divide the width 256"),
    "kv-heads": ({"bitnet.attention.head_count_kv": uint32_field(3)}, "3 KV heads do not divide the 4 heads"),
    "rope-dim": ({"bitnet.rope.dimension_count": uint32_field(65)}, "65 rotated dimensions"),
    "text-for-number": ({"bitnet.block_count": string_field("two")}, "bitnet.block_count is 'two'"),
    "zero": ({"bitnet.embedding_length": uint32_field(0)}, "embedding_length is 0, not one positive"),
    "nan": ({"bitnet.rope.freq_base": float32_field(float("nan"))}, "freq_base is nan, not a positive"),
    "value-length": ({"bitnet.attention.value_length": uint32_field(32)}, "value_length is not the key"),
}


def copy_with(
    folder: Path, good: bytes, *, changed: Fields, dropped: str = "", extra: TensorPlan | None = None
) -> Path:
    """The good model with other metadata, or one more tensor."""
    (folder / "good.gguf").write_bytes(good)
    file = GgufFile(folder / "good.gguf")
    fields = {key: file.raw_field(key) for key in file.metadata if key != dropped} | changed
    plans = [
        TensorPlan(t.name, t.shape, t.format, partial(list, [t.data])) for t in file.packed_tensors.values()
    ]
    write_gguf(folder / "bad.gguf", fields, plans + ([extra] if extra else []))
    return folder / "bad.gguf"


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_cannot_be_is_told_by_its_key(tmp_path: Path, good: bytes, name: str) -> None:
    changed, sentence = METADATA[name]
    with pytest.raises(BadInput, match=sentence) as caught:
        open_model(copy_with(tmp_path, good, changed=changed))
    assert str(caught.value).startswith("bad.gguf: ")


REQUIRED = (
    "general.architecture",
    "bitnet.block_count",
    "bitnet.embedding_length",
    "bitnet.attention.head_count",
    "bitnet.feed_forward_length",
    "bitnet.context_length",
    "bitnet.attention.layer_norm_rms_epsilon",
)


@pytest.mark.parametrize("key", REQUIRED)
def test_missing_key_is_named(tmp_path: Path, good: bytes, key: str) -> None:
    with pytest.raises(BadInput, match=f"bad.gguf: metadata key {key} is missing"):
        open_model(copy_with(tmp_path, good, changed={}, dropped=key))


def test_shape_that_does_not_fit_names_tensor_expected_and_actual(tmp_path: Path, good: bytes) -> None:
    expected = (
        r"tensor blk.0.ffn_gate.weight has the shape \[768, 256\], but the metadata asks for \[512, 256\]"
    )
    with pytest.raises(ShapeError, match=expected):
        open_model(copy_with(tmp_path, good, changed={"bitnet.feed_forward_length": uint32_field(512)}))


def test_more_tokens_than_embeddings_are_a_shape_error(tmp_path: Path, good: bytes) -> None:
    changed = {"tokenizer.ggml.tokens": strings_field(["a"] * 600)}
    with pytest.raises(ShapeError, match=r"token_embd.weight has the shape \[512, 256\]"):
        open_model(copy_with(tmp_path, good, changed=changed, dropped="bitnet.vocab_size"))


@pytest.mark.parametrize("name", ["blk.0.attn_q.bias", "blk.0.attn_q.scale", "blk.7.attn_q.weight"])
def test_tensor_without_a_part_is_named_not_ignored(tmp_path: Path, good: bytes, name: str) -> None:
    extra = TensorPlan(name, (2,), "F32", lambda: [np.zeros(8, np.uint8)])
    with pytest.raises(BadInput, match=f"tensor {name} .* has no part in the architecture 'bitnet'"):
        open_model(copy_with(tmp_path, good, changed={}, extra=extra))


def test_header_with_random_bytes_changed_opens_or_is_told(tmp_path: Path, good: bytes) -> None:
    """Whatever a header says, there is no other exception than BadInput; a tensor of 2^63 bytes included."""
    random, told = np.random.default_rng(0), list[str]()
    tensor_table = good.index(b"token_embd.weight")
    for _ in range(200):
        damaged = bytearray(good)
        first, last = (8, 1500) if random.random() < 0.5 else (tensor_table, tensor_table + 900)
        for at in random.integers(first, last, random.integers(1, 4)):
            damaged[at] = random.choice([0, 1, 4, 8, 9, 0x7F, 0x80, 0xFF])
        try:
            open_bytes(tmp_path, bytes(damaged))
        except BadInput as error:
            told.append(str(error))
    assert all(sentence.startswith("bad.gguf: ") for sentence in told)
    assert 20 < len(told) < 200  # both outcomes were seen
