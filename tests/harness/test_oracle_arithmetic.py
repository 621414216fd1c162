"""Arithmetics: stated and read back, and computed by the oracle at every axis and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.engine import Fingerprint, Floats
from bitparity.errors import BadInput
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import (
    AXES,
    BITNET_CPP,
    LLAMA_CPP,
    PLAIN,
    Arithmetic,
    arithmetic_named,
    arithmetic_of,
)
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.weights import Ternary, multiply

TOKENS = [(37 * i + 11) % 320 for i in range(6)]
CHANGES = [(axis.name, option) for axis in AXES for option in axis.options[1:]]
MakePath = Callable[..., Path]


@pytest.fixture(scope="module")
def path_of(tmp_path_factory: pytest.TempPathFactory) -> MakePath:
    folder = tmp_path_factory.mktemp("arithmetic")

    def make(weight_format: str, head_format: str, arch: str = "bitnet") -> Path:
        path = folder / f"{arch}-{weight_format}-{head_format}.gguf"
        if not path.exists():
            formats: dict[str, Any] = {"weight_format": weight_format, "head_format": head_format}
            make_model(path, ModelSpec(arch, n_layer=2, n_ff=512, n_vocab=320, **formats))
        return path

    return make


def run(path: Path, arithmetic: Arithmetic, *, prefill: bool) -> Floats:
    session = OracleEngine(arithmetic).open(path, context=16, threads=1)
    return session.prefill(TOKENS) if prefill else np.stack([session.decode(token) for token in TOKENS])


def test_arithmetic_is_stated_or_known_by_name() -> None:
    def fingerprint(engine: str, **details: str) -> Fingerprint:
        return Fingerprint(engine, "", "", "", "", 1, "f16", details)

    assert arithmetic_of(fingerprint("llama.cpp")) is LLAMA_CPP
    assert arithmetic_of(fingerprint("a stranger")) is BITNET_CPP
    assert arithmetic_of(fingerprint("native", arithmetic="llama.cpp")) == LLAMA_CPP
    found = arithmetic_of(fingerprint("native", arithmetic="llama.cpp/avx512/clang"))
    assert (found.generation, found.order, found.compiler) == ("llama.cpp", "avx512", "clang")
    assert arithmetic_of(fingerprint("a stranger", arithmetic="plain, kv f16")) == PLAIN.having(kv="f16")
    for stated in ("fast", "llama.cpp/sse", "", "plain/avx2", "plain, kv", "plain, kv f8", "plain, v f16"):
        with pytest.raises(BadInput, match=f"native: arithmetic '{stated}'"):
            arithmetic_of(fingerprint("native", arithmetic=stated))


@pytest.mark.parametrize(
    "name",
    [
        "llama.cpp/avx512_bf16/gcc",
        "bitnet.cpp/avx2/clang",
        "bitnet.cpp/avx2/clang, kv f32, q f32",
        "plain",
        "plain, q f16 in one row, activations block 64, head int8 weights",
    ],
)
def test_an_arithmetic_has_the_name_that_it_was_asked_for_by(name: str) -> None:
    assert arithmetic_named(name).name == name


@pytest.mark.parametrize(("axis", "option"), CHANGES)
def test_every_option_has_a_name_that_gives_it_back(axis: str, option: str) -> None:
    for base in (PLAIN, BITNET_CPP, LLAMA_CPP):
        changed = base.having(**{axis: option})
        assert arithmetic_named(changed.name).option(axis) == option


@pytest.mark.parametrize(("axis", "option"), CHANGES)
def test_every_option_changes_logits_where_it_applies(path_of: MakePath, axis: str, option: str) -> None:
    needs: dict[str, tuple[str, ...]] = {
        "f16_inputs": ("F16", "F16"),
        "bf16_inputs": ("BF16", "BF16"),
        "block_inputs": ("I2_S", "Q8_0"),
        "embeddings": ("I2_S", "F32"),
        "gelu": ("I2_S", "F16", "gemma3"),
    }
    path = path_of(*needs.get(axis, ("I2_S", "F16")))
    plain = run(path, PLAIN, prefill=False)
    changed = run(path, PLAIN.having(**{axis: option}), prefill=False)
    # I2_S has a scale a token, synthetic embeddings are exact in F16 and BF16, and no activation is a tie
    if (axis, option) in {("activations", "token"), ("embeddings", "f16"), ("embeddings", "bf16")} or (
        option == "away"
    ):
        np.testing.assert_array_equal(changed, plain)
    else:
        assert 1e-6 < np.linalg.norm(changed - plain) / np.linalg.norm(plain) < 0.5


@pytest.mark.parametrize("axis", ["q", "probs", "f16_inputs"])
def test_rounding_in_one_row_is_that_of_decode_and_none_of_prefill(path_of: MakePath, axis: str) -> None:
    path = path_of("I2_S", "F16")
    in_one_row, always = (PLAIN.having(**{axis: o}) for o in ("f16 in one row", "f16"))
    for other, prefill in ((always, False), (PLAIN, True)):
        expected, actual = (run(path, a, prefill=prefill) for a in (other, in_one_row))
        np.testing.assert_array_equal(actual, expected)


def test_a_general_quantiser_gives_what_the_formats_own_gives() -> None:
    x = np.random.default_rng(1).normal(size=(3, 512)).astype(np.float32)
    codes, s = ops.quantise_per_token(x)
    # it keeps 34 bits of 1 / s, whose float32 product with a code is exact
    np.testing.assert_allclose(ops.Quantiser()(x), codes / s.astype(np.float64), rtol=2.0**-34)
    codes, d = ops.quantise_q8_k(x)
    # the scale of a block is 1 / s rounded to float32 in Q8_K
    np.testing.assert_allclose(ops.Quantiser(256)(x), codes * np.repeat(d, 256, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(ops.Quantiser(0)(x), x)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("even", [127, 0, 2, -2]),
        ("away", [127, 1, 2, -3]),
        ("zero", [127, 0, 1, -2]),
        ("down", [127, 0, 1, -3]),
    ],
)
def test_quantiser_rounds_ties_as_it_says(rounding: str, expected: list[int]) -> None:
    values = ops.Quantiser(rounding=rounding)(np.array([[127, 0.5, 1.5, -2.5]], np.float32))
    assert values.tolist() == [expected]


def test_quantiser_to_128_clips_the_largest_positive_code() -> None:
    values = ops.Quantiser(largest=128)(np.array([[4, -4, 2]], np.float32))
    assert (values * 32).tolist() == [[127, -128, 64]]


@pytest.mark.parametrize(("precision", "step"), [("q8_0", 1 / 127), ("int8", 1 / 127), ("f16", 2**-11)])
def test_rounding_to_a_type_stays_within_half_a_step(precision: str, step: float) -> None:
    x = np.random.default_rng(2).uniform(-1, 1, (4, 64))
    x[0] = 0
    rounded = ops.round_to(x, precision)
    assert (np.abs(rounded - x) <= 0.6 * step).all()
    assert (rounded != x).any()
    assert not rounded[0].any()


@pytest.mark.parametrize("rounding", ["zero", "down"])
def test_sum_of_codes_that_is_0_is_exactly_0_in_every_quantiser(rounding: str) -> None:
    generator = np.random.default_rng(0)
    half = generator.standard_normal((4, 128))
    x = np.concatenate([half, half], axis=1)  # every product comes once with each sign
    codes = generator.choice(np.array([-1, 1], np.int8), (8, 128))
    matrix = Ternary("I2_S", np.concatenate([codes, -codes], axis=1), np.full((1, 1), 0.0437, np.float32))
    out = multiply(matrix, x, PLAIN.having(rounding=rounding, largest="128"), 1)
    np.testing.assert_array_equal(out, 0)
