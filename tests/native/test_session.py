"""The session contract, on synthetic models."""

from __future__ import annotations

import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitparity.engine import Fingerprint, Floats
from bitparity.errors import BadInput
from bitparity.fuzz.sessions import SessionCase, Step, walk
from bitparity.model.types import Model
from bitparity_native.engine import NativeEngine, NativeSession
from native.models import ModelOf

FORMATS = ("I2_S", "TQ1_0", "TQ2_0", "F16", "BF16", "F32")
MAPS = Path("/proc/self/maps")


def tokens(n: int, seed: int = 0, n_vocab: int = 512) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, n_vocab, n)]


def open_native(
    path: Path, threads: int = 1, context: int = 640, kernels: str = "auto", arithmetic: str = "auto"
) -> NativeSession:
    return NativeEngine(kernels=kernels, arithmetic=arithmetic).open(path, context=context, threads=threads)


def step_by_step(session: NativeSession, ids: list[int]) -> Floats:
    return np.stack([session.decode(token) for token in ids])


def same_bits(actual: Floats, expected: Floats) -> bool:
    return actual.shape == expected.shape and actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize("weight_format", FORMATS)
def test_kernel_sets_give_the_same_logits(model_of: ModelOf, kernel_set: str, weight_format: str) -> None:
    path = model_of(weight_format=weight_format, n_vocab=515)
    ids = tokens(11)
    expected, actual = (open_native(path, kernels=name) for name in ("portable", kernel_set))
    assert same_bits(actual.prefill(ids), expected.prefill(ids))
    assert same_bits(actual.decode(3), expected.decode(3))


@pytest.mark.parametrize("weight_format", ["I2_S", "TQ1_0", "TQ2_0", "F16"])
def test_kernel_sets_give_the_same_logits_on_every_way(
    model_of: ModelOf, kernel_set: str, weight_format: str
) -> None:
    """A tile and what is left of it, decodes, rollbacks into both, a start from 0, and two threads."""
    path = model_of(weight_format=weight_format, n_layer=1, n_embd=256, n_ff=256, n_vocab=258)
    steps: tuple[Step, ...] = (
        ("prefill", 17),
        ("decode", 1),
        ("rollback", 3),
        ("decode", 1),
        ("rollback", 9),
        ("prefill", 5),
    )
    case = SessionCase(seed=1, steps=(*steps, ("reset", 0), ("decode", 1), ("prefill", 3)))
    expected, actual = (
        walk(open_native(path, threads=threads, context=64, kernels=name), case)
        for name, threads in (("portable", 1), (kernel_set, 2))
    )
    assert len(expected) == 17 + 1 + 1 + 5 + 1 + 3
    for (position, row), (same_position, other) in zip(expected, actual, strict=True):
        assert position == same_position
        assert same_bits(other, row)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("weight_format", ["I2_S", "TQ2_0", "F16"])
def test_number_of_threads_changes_no_bit(model_of: ModelOf, weight_format: str, threads: int) -> None:
    path = model_of(weight_format=weight_format)
    ids = tokens(37)
    expected, actual = open_native(path), open_native(path, threads=threads)
    for _ in range(3):
        assert same_bits(actual.prefill(ids), expected.prefill(ids))
        assert same_bits(step_by_step(actual, ids[:5]), step_by_step(expected, ids[:5]))
        actual.rollback(0)
        expected.rollback(0)


@pytest.mark.parametrize("arithmetic", ["bitnet.cpp/avx2", "bitnet.cpp/avx512", "llama.cpp/avx2"])
@pytest.mark.parametrize("threads", [2, 3, 4, 7])
def test_heads_that_threads_cannot_share_evenly_change_no_bit(
    model_of: ModelOf, threads: int, arithmetic: str
) -> None:
    """Five KV heads of four heads each, as in 2B-4T: what is left over is shared by keys and by values."""
    path, ids = model_of(n_embd=640, n_head=20, n_head_kv=5), tokens(70)
    expected, actual = (open_native(path, threads=n, arithmetic=arithmetic) for n in (1, threads))
    assert same_bits(actual.prefill(ids), expected.prefill(ids))
    assert same_bits(step_by_step(actual, ids[:5]), step_by_step(expected, ids[:5]))


@pytest.mark.parametrize("arithmetic", ["bitnet.cpp", "llama.cpp"])
def test_batches_of_any_cut_are_equal_where_the_order_is_that_of_a_batch(
    model_of: ModelOf, arithmetic: str
) -> None:
    path, ids = model_of(), tokens(600)
    whole = open_native(path, arithmetic=arithmetic).prefill(ids)  # longer than the engine works on at once
    for cut in (2, 128, 129, 511, 512, 513):
        session = open_native(path, arithmetic=arithmetic)
        assert same_bits(np.concatenate([session.prefill(ids[:cut]), session.prefill(ids[cut:])]), whole)


def test_decode_is_a_batch_of_one(model_of: ModelOf) -> None:
    path, ids = model_of(), tokens(6)
    assert same_bits(
        step_by_step(open_native(path), ids),
        np.concatenate([(s := open_native(path)).prefill(ids[:1]), *(s.prefill([t]) for t in ids[1:])]),
    )


def test_last_logits_are_the_last_of_all(model_of: ModelOf) -> None:
    path = model_of(n_embd=256)
    for n in (1, 2, 129, 512, 513, 640):
        every = open_native(path).prefill(tokens(n))
        last = open_native(path).prefill(tokens(n), logits="last")
        assert every.shape == (n, 512)
        assert last.shape == (1, 512)
        assert same_bits(last[0], every[-1])


@pytest.mark.parametrize("weight_format", ["I2_S", "F16"])
def test_rollback_equals_a_fresh_session(model_of: ModelOf, weight_format: str) -> None:
    path, ids = model_of(weight_format=weight_format), tokens(40)
    used = open_native(path)
    used.prefill(tokens(90, seed=1))
    used.decode(4)
    used.rollback(0)
    assert used.position == 0
    fresh = open_native(path)
    assert same_bits(used.prefill(ids), fresh.prefill(ids))
    used.prefill(tokens(50, seed=2))
    used.rollback(40)
    assert same_bits(used.decode(7), fresh.decode(7))


def test_rollback_of_a_value_that_is_not_finite_leaves_no_trace(model_of: ModelOf) -> None:
    """Cache columns beyond the end meet probabilities of zero, so they may not stay infinite."""
    path = model_of(weight_format="F16")
    session, fresh = open_native(path), open_native(path)
    poisoned = NativeEngine(alter=_with_huge_values).open(path, context=64, threads=1)
    with np.errstate(all="ignore"):
        poisoned.prefill(tokens(40))
        poisoned.rollback(3)
        again = poisoned.decode(5)
    assert not np.isfinite(again).all()  # its own three positions are infinite
    session.prefill(tokens(40))
    session.rollback(3)
    fresh.prefill(tokens(3))
    # positions 0 to 2 went through batches of different sizes, which changes no row of a batch
    assert same_bits(session.decode(5), fresh.decode(5))


def _with_huge_values(model: Model) -> Model:
    layer = model.weights.layers[0]
    halves = layer["v"].data.view(np.float16)
    huge = np.where(halves == 0, np.float16(0), np.float16(60000))
    v = layer["v"].holding(huge.view(np.uint8))
    layers = (layer | {"v": v}, *model.weights.layers[1:])
    return replace(model, weights=replace(model.weights, layers=layers))


def test_info_describes_the_model_and_the_engine(model_of: ModelOf) -> None:
    info = open_native(model_of(n_vocab=515, n_layer=3, tied=False), threads=2, context=77).info
    assert (info.arch, info.n_vocab, info.n_layer, info.n_embd) == ("bitnet", 515, 3, 256)
    assert (info.n_head, info.n_head_kv, info.n_ff, info.context) == (4, 2, 768, 77)
    assert info.weight_formats["I2_S"] == 21
    assert not info.tied_head
    fingerprint = info.fingerprint
    assert (fingerprint.engine, fingerprint.threads, fingerprint.kv_type) == ("native", 2, "f16")
    assert fingerprint.details["arithmetic"] == "bitnet.cpp/avx2/clang"
    assert re.fullmatch(r"_core\S*\.so [0-9a-f]{16}", fingerprint.details["libraries"])


@pytest.mark.parametrize(
    ("fields", "arithmetic"),
    [
        ({"weight_format": "I2_S"}, "bitnet.cpp/avx2/clang"),
        ({"weight_format": "TQ2_0"}, "llama.cpp/avx2/gcc"),
        ({"weight_format": "TQ2_0", "arch": "bitnet-b1.58"}, "bitnet.cpp/avx2/clang"),
    ],
)
def test_arithmetic_is_that_of_a_reference_that_runs_such_a_model(
    model_of: ModelOf, fields: dict[str, str], arithmetic: str
) -> None:
    assert open_native(model_of(**fields)).info.fingerprint.details["arithmetic"] == arithmetic


def test_arithmetic_is_taken_from_the_reference_unless_one_was_chosen(model_of: ModelOf) -> None:
    def stated(engine: NativeEngine, **details: str) -> str:
        reference = Fingerprint("a reference", "", "", "", "", 1, "f16", details)
        session = engine.following(reference).open(model_of(), context=8, threads=1)
        return session.info.fingerprint.details["arithmetic"]

    assert stated(NativeEngine(), arithmetic="llama.cpp/avx512") == "llama.cpp/avx512/gcc"
    assert (
        stated(NativeEngine()) == stated(NativeEngine(arithmetic="auto"), other="") == "bitnet.cpp/avx2/clang"
    )
    chosen = NativeEngine(arithmetic="bitnet.cpp/avx512_bf16")
    assert stated(chosen, arithmetic="llama.cpp/avx512") == "bitnet.cpp/avx512_bf16/clang"


def test_bad_input_is_one_sentence(model_of: ModelOf) -> None:
    path = model_of()
    session = open_native(path, context=8)
    with pytest.raises(
        BadInput, match=r"^native: token id 5000 at offset 3 is outside the vocabulary of 512$"
    ):
        session.prefill([1, 2, 3, 5000])
    with pytest.raises(BadInput, match=r"^native: token id -1 at offset 0 is outside"):
        session.decode(-1)
    with pytest.raises(BadInput, match=r"^native: no tokens to run"):
        session.prefill([])
    session.prefill([1, 2, 3])
    with pytest.raises(BadInput, match=r"^native: 6 tokens at position 3 do not fit the context of 8$"):
        session.prefill([1] * 6)
    with pytest.raises(BadInput, match=r"^native: rollback to 4, but the sequence holds 3 positions$"):
        session.rollback(4)
    assert session.position == 3
    with pytest.raises(BadInput, match="device 0 was asked for, but this engine runs on the CPU only"):
        NativeEngine().open(path, context=8, threads=1, device_id=0)
    with pytest.raises(BadInput, match="context and threads of at least 1"):
        NativeEngine().open(path, context=8, threads=0)


def test_context_can_be_filled_to_the_last_position(model_of: ModelOf) -> None:
    session = open_native(model_of(), context=33)
    session.prefill(tokens(32))
    session.decode(1)
    assert session.position == 33
    with pytest.raises(BadInput, match="do not fit the context of 33"):
        session.decode(1)


def test_closed_session_says_so(model_of: ModelOf) -> None:
    session = open_native(model_of())
    session.close()
    with pytest.raises(BadInput, match="the session is closed"):
        session.decode(1)
    with pytest.raises(BadInput, match="the session is closed"):
        session.tokenize("abc", add_bos=False, parse_special=False)


@pytest.mark.skipif(not MAPS.exists(), reason="this system has no /proc/self/maps")
def test_closed_session_lets_go_of_the_file(model_of: ModelOf, tmp_path: Path) -> None:
    path = Path(shutil.copy(model_of(), tmp_path))
    session = open_native(path)
    session.tokenize("abc", add_bos=False, parse_special=False)
    assert str(path) in MAPS.read_text()
    session.close()
    assert str(path) not in MAPS.read_text()


def test_text_goes_to_ids_and_back(model_of: ModelOf) -> None:
    session = open_native(model_of())
    assert session.detokenize(session.tokenize("abc abc", add_bos=False, parse_special=False)) == "abc abc"


def test_weights_are_used_from_the_map_and_the_cache_is_lazy(model_of: ModelOf, sanitizer: str) -> None:
    """Opening with a context of a million positions takes no memory to speak of."""
    if sanitizer:
        pytest.skip("sanitizers keep notes of all memory")
    path = model_of()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    session = NativeEngine().open(path, context=1_000_000, threads=1)
    session.prefill(tokens(4))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # KiB; the cache alone would be 1 GB


def test_inner_norm_that_does_not_fit_its_stage_is_refused(model_of: ModelOf) -> None:
    def shortened(model: Model) -> Model:
        layer = model.weights.layers[0]
        norm = layer["ffn_sub_norm"]
        short = replace(norm, shape=(500,)).holding(norm.data[: 500 * 4])
        layers = (layer | {"ffn_sub_norm": short}, *model.weights.layers[1:])
        return replace(model, weights=replace(model.weights, layers=layers))

    with pytest.raises(BadInput, match="ffn_sub_norm has 500 weights, which do not divide the 768 values"):
        NativeEngine(alter=shortened).open(model_of(arch="bitnet"), context=32, threads=1)
