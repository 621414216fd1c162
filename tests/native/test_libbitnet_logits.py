"""Logits of libbitnet equal those of the Python front to the bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.errors import BadInput
from bitparity.formats import DENSE, FLOATS, TERNARY, get_format, is_ternary
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.writer import TensorPlan, string_field, write_gguf
from bitparity.oracle.arithmetic import arithmetic_named, arithmetic_names
from bitparity_native.engine import NativeEngine
from bitparity_native.library import library_path
from native.bitnet_library import (
    ALL,
    LAST,
    LIB,
    checked,
    ids_of,
    load_model,
    logits_at,
    model_info,
    open_session,
)
from rewrite import rewrite
from shards import SAID, split_into

ENGINE_FUNCTIONS = "open n_vocab forward forward_last close version error about tokenize detokenize tap"
ENGINE_H = {f"bitparity_{name}" for name in ENGINE_FUNCTIONS.split()}
TOKENS = [5, 17, 3, 200, 44, 9, 121, 80]


# --------------------------------------------------------------------------------------------------- logits


def assert_same_as_front(path: Path, **choices: bytes) -> None:
    """Prefill of all, rollback, decode, prefill of the last, equal to the Python front's to the bit."""
    engine = NativeEngine().configured(**{name: value.decode() for name, value in choices.items()})
    front = engine.open(path, context=32, threads=1)
    n_vocab = front.info.n_vocab
    handle = load_model(path, **choices)
    session = open_session(handle, context=32, threads=1, keep_logits=1)
    ids = [token % n_vocab for token in TOKENS]
    expected = front.prefill(ids)
    checked(LIB.bitnet_prefill(session, ids_of(ids), len(ids), ALL))
    actual = np.stack([logits_at(session, position, n_vocab) for position in range(len(ids))])
    assert actual.tobytes() == expected.tobytes()
    front.rollback(3)
    checked(LIB.bitnet_rollback(session, 3))
    expected_row = front.decode(ids[0])
    checked(LIB.bitnet_decode(session, ids[0]))
    assert logits_at(session, 3, n_vocab).tobytes() == expected_row.tobytes()
    expected = front.prefill(ids, logits="last")
    checked(LIB.bitnet_prefill(session, ids_of(ids), len(ids), LAST))
    assert logits_at(session, 3 + len(ids), n_vocab).tobytes() == expected[-1].tobytes()
    assert logits_at(session, 2, n_vocab).shape == (n_vocab,)  # still kept
    described = LIB.bitnet_model_description(handle).decode()
    assert f"arithmetic={front.info.fingerprint.details['arithmetic']}\n" in described
    LIB.bitnet_session_free(session)
    LIB.bitnet_model_free(handle)
    front.close()


def formats_of_native() -> list[str]:
    from bitparity_native import _core

    return [name for name in _core.kernels.weight_formats() if name in (*FLOATS, *TERNARY)]


@pytest.mark.parametrize("weight_format", formats_of_native())
def test_logits_equal_those_of_the_python_front(weight_format: str) -> None:
    assert_same_as_front(bundled_model(weight_format=weight_format))


SPECS = {
    **{arch: ModelSpec(arch=arch, n_vocab=300) for arch in ARCHITECTURES},
    "wide heads and a window": ModelSpec(
        "gemma3",
        n_layer=7,
        n_vocab=300,
        key_length=128,
        sliding_window=4,
        rope_scaling="linear",
        rope_factor=8.0,
    ),
    "YaRN": ModelSpec(n_vocab=300, rope_scaling="yarn", rope_factor=4.0, original_context=16),
    **{
        name: ModelSpec(n_vocab=300, weight_format=name, head_format=name)
        for name in DENSE
        if name not in FLOATS
    },
    "dedicated head": ModelSpec(n_vocab=300, tied=False, head_format="BF16"),
    "transposed F16": ModelSpec(n_vocab=300, embedding_transposed=True),
    "transposed F32": ModelSpec(n_vocab=300, embedding_transposed=True, head_format="F32"),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_kind_of_model_gives_the_logits_of_the_python_front(spec: ModelSpec, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    make_model(path, spec)
    assert_same_as_front(path)


@pytest.mark.parametrize("weight_format", ["I2_S", "TQ1_0", "TQ2_0"])
def test_ternary_embedding_is_unpacked_and_multiplied_as_it_is(weight_format: str, tmp_path: Path) -> None:
    """The head is the packed matrix itself; rows of the embedding are its values."""
    make_model(tmp_path / "plain.gguf", ModelSpec(n_vocab=300))
    file = GgufFile(tmp_path / "plain.gguf")
    codes = np.random.default_rng(0).integers(-1, 2, (300, 256)).astype(np.int8)
    ternary = get_format(weight_format)
    assert is_ternary(ternary)
    packed = ternary.pack_codes(codes, 0.25)
    plans = [
        TensorPlan(t.name, t.shape, weight_format, lambda: [packed])
        if t.name == "token_embd.weight"
        else TensorPlan(t.name, t.shape, t.format, lambda d=t.data: [d])  # type: ignore[misc]
        for t in file.packed_tensors.values()
    ]
    write_gguf(tmp_path / "packed.gguf", {key: file.raw_field(key) for key in file.metadata}, plans)
    assert_same_as_front(tmp_path / "packed.gguf")


def test_model_in_shards_gives_the_logits_of_the_python_front(tmp_path: Path) -> None:
    first, *others = split_into(bundled_model(), 3, tmp_path)
    assert_same_as_front(first)
    info = model_info(load_model(first))
    assert info.mapped_bytes == sum(path.stat().st_size for path in (first, *others))


@pytest.mark.parametrize("spoil", SAID, ids=lambda spoil: spoil.__name__)
def test_wrong_shards_are_refused_in_the_words_of_the_python_front(
    spoil: Callable[[list[Path]], Path], tmp_path: Path
) -> None:
    path = spoil(split_into(bundled_model(), 3, tmp_path))
    with pytest.raises(BadInput) as expected:
        open_model(path)
    with pytest.raises(AssertionError) as actual:
        load_model(path)
    assert str(expected.value).removeprefix(f"{path.name}: ") in str(actual.value)


def in_blocks_of_128(tmp_path: Path, **spec: Any) -> Path:
    path = tmp_path / "64.gguf"
    make_model(path, ModelSpec(n_vocab=300, weight_format="Q2_0", **spec))
    names = [t.name for t in open_model(path).tensors.values() if t.format == "Q2_0"]
    return rewrite(path, tmp_path / "128.gguf", formats=dict.fromkeys(names, "Q2_0_G128"))


@pytest.mark.parametrize("head_format", ["F16", "Q2_0"])
def test_q2_0_in_blocks_of_128_gives_the_logits_of_the_python_front(head_format: str, tmp_path: Path) -> None:
    path = in_blocks_of_128(tmp_path, head_format=head_format)
    assert_same_as_front(path)
    info = model_info(load_model(path))
    assert info.owned_bytes > model_info(load_model(tmp_path / "64.gguf")).owned_bytes  # repacked


def test_activation_that_the_file_declares_goes_before_the_architectures_own(tmp_path: Path) -> None:
    fields = {"bitnet.hidden_act": string_field("relu2")}
    assert_same_as_front(rewrite(bundled_model(), tmp_path / "declared.gguf", fields=fields))
    unknown = {"bitnet.hidden_activation": string_field("mish")}
    with pytest.raises(AssertionError, match=r"bitnet\.hidden_activation is 'mish'; supported are silu"):
        load_model(rewrite(bundled_model(), tmp_path / "unknown.gguf", fields=unknown))


def test_every_arithmetic_has_the_name_that_python_gives_it(model: int) -> None:
    for name in arithmetic_names():
        handle = load_model(bundled_model(), arithmetic=name.encode())
        described = LIB.bitnet_model_description(handle).decode()
        assert f"arithmetic={arithmetic_named(name).name}\n" in described
        LIB.bitnet_model_free(handle)


def test_kernel_sets_are_those_of_the_python_front() -> None:
    names = [LIB.bitnet_kernel_set_name(i).decode() for i in range(LIB.bitnet_kernel_set_count())]
    assert names == NativeEngine().choices()["kernels"]
    assert_same_as_front(bundled_model(), kernels=b"portable", arithmetic=b"llama.cpp/avx512/gcc")


# -------------------------------------------------------------------------------------------------- engine.h


class EngineH:
    """engine.h as a harness calls it."""

    def __init__(self) -> None:
        self.lib = ctypes.CDLL(str(library_path()))
        self.lib.bitparity_open.restype = ctypes.c_void_p
        self.lib.bitparity_open.argtypes = [
            ctypes.c_char_p,
            *[ctypes.c_int32] * 3,
            ctypes.c_char_p,
            ctypes.c_size_t,
        ]
        for function in (self.lib.bitparity_forward, self.lib.bitparity_forward_last):
            function.argtypes = [
                ctypes.c_void_p,
                ctypes.c_void_p,
                ctypes.c_int32,
                ctypes.c_int32,
                ctypes.c_void_p,
            ]
        for name in ("bitparity_error", "bitparity_about"):
            getattr(self.lib, name).restype = ctypes.c_char_p
        for name in ("bitparity_error", "bitparity_about", "bitparity_n_vocab", "bitparity_close"):
            getattr(self.lib, name).argtypes = [ctypes.c_void_p]


def test_engine_h_gives_the_logits_of_native() -> None:
    engine = EngineH().lib
    error = ctypes.create_string_buffer(200)
    session = engine.bitparity_open(str(bundled_model()).encode(), 32, 1, -1, error, 200)
    assert session, error.value
    front = NativeEngine().open(bundled_model(), context=32, threads=1)
    n_vocab = engine.bitparity_n_vocab(session)
    assert n_vocab == front.info.n_vocab
    for position, ids in ((0, TOKENS), (8, [7]), (2, [9, 11]), (4, [1])):
        front.rollback(position)
        expected = front.prefill(ids)
        actual = np.empty((len(ids), n_vocab), np.float32)
        assert engine.bitparity_forward(session, ids_of(ids), len(ids), position, actual.ctypes.data) == 0
        assert actual.tobytes() == expected.tobytes()
        last = np.full((2, n_vocab), 7, np.float32)  # of which one row is written
        assert engine.bitparity_forward_last(session, ids_of(ids), len(ids), position, last.ctypes.data) == 0
        assert last[0].tobytes() == expected[-1].tobytes()
        assert np.all(last[1] == 7)
    assert engine.bitparity_forward(session, ids_of([1]), 1, 9, actual.ctypes.data) != 0
    assert b"position 9 is beyond the 5 tokens" in engine.bitparity_error(session)
    assert b"kernels=" in engine.bitparity_about(session)
    engine.bitparity_close(session)
    assert engine.bitparity_forward(session, ids_of([1]), 1, 0, actual.ctypes.data) != 0
    assert engine.bitparity_open(b"/no/such.gguf", 8, 1, -1, error, 12) is None
    assert error.value == b"bitparity_o"
