"""The oracle's forward pass: chunking, rollback, taps, and the engine contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.engine import StageValue
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.oracle.arithmetic import LLAMA_CPP
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine, OracleSession
from bitparity.stages import StageFilter, graph_order

TOKENS = [(37 * i + 11) % 320 for i in range(10)]
CASES = [("bitnet", "I2_S"), ("bitnet-b1.58", "TQ1_0"), ("bitnet-25", "TQ2_0"), ("llama", "F16")]
MakePath = Callable[..., Path]


def open_oracle(path: Path, context: int = 16) -> OracleSession:
    return OracleEngine().open(path, context=context, threads=1)


@pytest.mark.parametrize("weight_format", ["F32", "BF16"])
def test_prefill_and_decode_are_equal_where_no_rounding_depends_on_the_batch(
    path_of: MakePath, weight_format: str
) -> None:
    path = path_of(weight_format=weight_format, head_format=weight_format)
    make = lambda model, arithmetic: Definition.of(model, LLAMA_CPP)  # noqa: E731
    engine = OracleEngine(make_definition=make)
    whole = engine.open(path, context=16, threads=1).prefill(TOKENS)
    session = engine.open(path, context=16, threads=1)
    stepwise = np.stack([session.decode(token) for token in TOKENS])
    # float64 sums in another order, then rounded to float32: a last digit now and then, handed on
    np.testing.assert_allclose(stepwise, whole, atol=1e-4 if weight_format == "BF16" else 1e-5)


@pytest.mark.parametrize(("arch", "weight_format"), CASES)
def test_chunks_give_what_one_prefill_gives(path_of: MakePath, arch: str, weight_format: str) -> None:
    path = path_of(arch=arch, weight_format=weight_format)
    whole = open_oracle(path).prefill(TOKENS)
    session = open_oracle(path)
    parts = np.concatenate([session.prefill(TOKENS[:4]), session.prefill(TOKENS[4:])])
    cosine = np.vecdot(whole, parts) / np.linalg.norm(whole, axis=1) / np.linalg.norm(parts, axis=1)
    # BLAS may add in another order for another number of rows; an int8 flip is the worst that can do
    assert (1 - cosine < 1e-3).all()
    np.testing.assert_array_equal(whole[:4].argmax(axis=1), parts[:4].argmax(axis=1))


def test_rollback_forgets_exactly(path_of: MakePath) -> None:
    session = open_oracle(path_of())
    session.prefill(TOKENS[:6])
    first = session.decode(TOKENS[6])
    session.decode(TOKENS[7])
    session.rollback(6)
    assert session.position == 6
    np.testing.assert_array_equal(session.decode(TOKENS[6]), first)


def test_last_gives_one_row(path_of: MakePath) -> None:
    path = path_of(head_format="F32")
    last = open_oracle(path).prefill(TOKENS, logits="last")
    assert last.shape == (1, 320)
    np.testing.assert_allclose(last[0], open_oracle(path).prefill(TOKENS)[-1], atol=1e-5)


@pytest.mark.parametrize(("arch", "weight_format"), CASES)
def test_tap_records_every_stage_of_the_architecture_in_graph_order(
    path_of: MakePath, arch: str, weight_format: str
) -> None:
    path = path_of(arch=arch, weight_format=weight_format)
    hyper = open_model(path).hyper
    seen: list[StageValue] = []
    session = open_oracle(path)
    with session.tap(StageFilter.parse(), seen.append):
        session.prefill(TOKENS[:4])
        session.decode(TOKENS[4])
    session.decode(TOKENS[5])
    prefill = [v for v in seen if v.seq == 0]
    assert {v.stage for v in seen} == set(hyper.architecture.by_name)
    keys = [graph_order(v.layer, v.stage) for v in prefill]
    assert keys == sorted(keys)
    assert {(v.seq, v.position, len(v.values)) for v in seen} == {(0, 0, 4), (1, 4, 1)}
    shapes = {v.stage: v.values.shape for v in prefill}
    assert shapes["attn_probs"] == (4, hyper.n_head, 4)
    assert shapes["k_rope"] == (4, hyper.n_embd_kv)
    assert all(v.values.dtype == np.float32 for v in seen)


def test_transposed_embedding_gives_the_same_logits(path_of: MakePath) -> None:
    plain = open_oracle(path_of()).prefill(TOKENS)
    transposed = open_oracle(path_of(embedding_transposed=True)).prefill(TOKENS)
    # the head's float64 product adds in another order; logits are about 10
    np.testing.assert_allclose(transposed, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "no tokens to run; give at least one"),
        ([320], "token 320 is outside the vocabulary of 320"),
        ([-1], "token -1 is outside the vocabulary of 320"),
        ([0] * 17, "17 tokens do not fit: the context of 16 has 16 left"),
    ],
)
def test_bad_tokens_are_refused_in_one_sentence(path_of: MakePath, tokens: list[int], message: str) -> None:
    with pytest.raises(BadInput, match=f"^{message}$"):
        open_oracle(path_of()).prefill(tokens)


def test_rollback_beyond_the_end_is_refused(path_of: MakePath) -> None:
    with pytest.raises(BadInput, match="rollback to 1"):
        open_oracle(path_of()).rollback(1)


def test_a_device_is_refused(path_of: MakePath) -> None:
    with pytest.raises(BadInput, match="device 0"):
        OracleEngine().open(path_of(), context=4, threads=1, device_id=0)


def test_refusal_names_what_is_unknown() -> None:
    assert OracleEngine().refusal("bitnet", {"I2_S", "F32"}) is None
    assert "'gpt2'" in str(OracleEngine().refusal("gpt2", {"F32"}))
    assert "IQ2_BN" in str(OracleEngine().refusal("bitnet", {"IQ2_BN", "F32"}))
