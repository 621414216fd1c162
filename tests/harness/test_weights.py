"""Hyperparameters and the four rules of the weight mapping."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.model import Model, open_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.weights import check_mapping, describe_mapping, embedding_rows, head_rows
from bitparity.model.writer import TensorPlan, float32_field, string_field, uint32_field, write_gguf

TOKENS = [0, 1, 255, 511]


def made(folder: Path, spec: ModelSpec) -> Model:
    make_model(folder / "x.gguf", spec)
    return open_model(folder / "x.gguf")


def rewritten(
    folder: Path, *, changed: dict[str, bytes], dropped: str = "", tensors: list[TensorPlan]
) -> Model:
    """x.gguf with other metadata, and with some tensors replaced or added."""
    file = GgufFile(folder / "x.gguf")
    fields = {key: file.raw_field(key) for key in file.metadata if key != dropped} | changed
    plans = {
        t.name: TensorPlan(t.name, t.shape, t.format, partial(list, [t.data]))
        for t in file.packed_tensors.values()
    }
    plans |= {plan.name: plan for plan in tensors}
    write_gguf(folder / "y.gguf", fields, list(plans.values()))
    return open_model(folder / "y.gguf")


@pytest.mark.parametrize(
    ("arch", "pairs", "activation", "sub_norms"),
    [
        ("bitnet", "neox", "silu", True),
        ("bitnet-25", "neox", "relu2", True),
        ("bitnet-b1.58", "neox", "relu2", True),
        ("llama", "norm", "silu", False),
    ],
)
def test_architecture_decides_pairs_activation_and_sub_norms(
    tmp_path: Path, arch: str, pairs: str, activation: str, sub_norms: bool
) -> None:
    model = made(tmp_path, ModelSpec(arch, n_layer=1))
    hyper, layer = model.hyper, model.weights.layers[0]
    assert (hyper.rope_pairs, hyper.activation) == (pairs, activation)
    assert ("attn_sub_norm" in layer, "ffn_sub_norm" in layer) == (sub_norms, sub_norms)


def test_hyperparameters_are_read(tmp_path: Path) -> None:
    spec = ModelSpec(
        n_layer=3, n_head=4, n_head_kv=1, n_ff=512, n_vocab=300, context_length=77, rope_base=5e5
    )
    hyper = made(tmp_path, spec).hyper
    assert (hyper.n_layer, hyper.n_embd, hyper.n_head, hyper.n_head_kv, hyper.head_dim) == (3, 256, 4, 1, 64)
    assert (hyper.n_ff, hyper.n_vocab, hyper.context_length, hyper.rope_dim) == (512, 300, 77, 64)
    assert (hyper.rope_base, hyper.norm_eps, hyper.n_embd_kv) == (5e5, float(np.float32(1e-5)), 64)


@pytest.mark.parametrize(
    ("key", "field", "expected"),
    [
        (
            "attention.head_count_kv",
            "n_head_kv",
            2,
        ),  # the projections of KV are made for 2 heads, so as many heads
        ("rope.freq_base", "rope_base", 10000.0),
        ("rope.dimension_count", "rope_dim", 128),
        ("vocab_size", "n_vocab", 512),
    ],
)
def test_missing_optional_key_has_the_default_of_llama_cpp(
    tmp_path: Path, key: str, field: str, expected: float
) -> None:
    made(tmp_path, ModelSpec(n_layer=1, n_head=2, n_head_kv=2, rope_base=7.0))
    model = rewritten(tmp_path, changed={}, dropped=f"bitnet.{key}", tensors=[])
    assert getattr(model.hyper, field) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"bitnet.rope.scaling.type": string_field("linear"), "bitnet.rope.scaling.factor": float32_field(1)},
        {"bitnet.rope.scaling.type": string_field("none"), "bitnet.rope.scaling.factor": float32_field(8)},
        {"bitnet.rope.scaling.factor": float32_field(0)},
        {"bitnet.expert_count": uint32_field(0)},
    ],
)
def test_metadata_that_changes_nothing_is_accepted(tmp_path: Path, changed: dict[str, bytes]) -> None:
    made(tmp_path, ModelSpec(n_layer=1))
    assert rewritten(tmp_path, changed=changed, tensors=[]).hyper.n_layer == 1


def test_rope_freqs_are_the_rope_factors(tmp_path: Path) -> None:
    made(tmp_path, ModelSpec("llama", n_layer=1))
    factors = np.linspace(1, 8, 32, dtype=np.float32)
    plan = TensorPlan("rope_freqs.weight", (32,), "F32", lambda: [factors.view(np.uint8)])
    model = rewritten(tmp_path, changed={}, tensors=[plan])
    assert model.weights.rope_factors is not None
    np.testing.assert_array_equal(model.weights.rope_factors.values(), factors)
    assert describe_mapping(model)[-1].endswith("divided by rope_freqs.weight")


@pytest.mark.parametrize("head_format", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("transposed", [False, True])
def test_embedding_is_the_same_however_it_lies(tmp_path: Path, transposed: bool, head_format: str) -> None:
    standard = made(tmp_path, ModelSpec(n_layer=1))
    expected = standard.weights.token_embd.values()[TOKENS]
    spec = ModelSpec(n_layer=1, embedding_transposed=transposed, head_format=head_format)
    model = made(tmp_path, spec)
    assert model.weights.embedding_is_transposed is transposed
    np.testing.assert_array_equal(embedding_rows(model, TOKENS), expected)
    np.testing.assert_array_equal(head_rows(model, TOKENS), expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_dedicated_head_is_its_own_tensor(tmp_path: Path, transposed: bool) -> None:
    model = made(tmp_path, ModelSpec("llama", n_layer=1, tied=False, embedding_transposed=transposed))
    assert not model.weights.head_is_tied
    assert model.weights.head.name == "output.weight"
    np.testing.assert_array_equal(head_rows(model, TOKENS), model.weights.head.values()[TOKENS])
    assert not np.array_equal(head_rows(model, TOKENS), embedding_rows(model, TOKENS))


def test_tied_head_is_the_embedding(tmp_path: Path) -> None:
    weights = made(tmp_path, ModelSpec(n_layer=1)).weights
    assert weights.head_is_tied
    assert weights.head is weights.token_embd


def test_square_embedding_is_taken_as_standard_and_says_so(tmp_path: Path) -> None:
    model = made(tmp_path, ModelSpec(n_layer=1, n_embd=512, n_vocab=512))
    assert not model.weights.embedding_is_transposed
    assert "taken as standard because it is square" in describe_mapping(model)[0]


@pytest.mark.parametrize(
    ("tied", "transposed", "embedding", "head"),
    [
        (
            True,
            False,
            "[512, 256] F16, standard ([V, H], a token is a row)",
            "tied, logits are products with",
        ),
        (False, True, "[256, 512] F16, transposed ([H, V], a token is a column)", "dedicated, output.weight"),
    ],
)
def test_description_names_the_rules(
    tmp_path: Path, tied: bool, transposed: bool, embedding: str, head: str
) -> None:
    model = made(tmp_path, ModelSpec("llama", n_layer=1, tied=tied, embedding_transposed=transposed))
    lines = describe_mapping(model)
    assert lines[0].startswith(f"embedding: token_embd.weight {embedding}")
    assert lines[1].startswith(f"head: {head}")


@pytest.mark.parametrize("spec", [ModelSpec(n_layer=1), ModelSpec("llama", n_layer=1, tied=False)])
def test_check_of_a_sound_model_says_what_was_seen(tmp_path: Path, spec: ModelSpec) -> None:
    vectors, vocabulary = check_mapping(made(tmp_path, spec))
    assert "the first and last row of 7 matrices" in vectors
    assert ("equal to them" if spec.tied else "other than them") in vocabulary


def broken(shape: tuple[int, ...], value: float, name: str) -> TensorPlan:
    data = np.full(shape, value, np.float32).reshape(-1).view(np.uint8)
    return TensorPlan(name, shape, "F32", lambda: [data])


@pytest.mark.parametrize(
    ("name", "shape", "value", "sentence"),
    [
        ("output_norm.weight", (256,), np.nan, "has values that are not finite"),
        ("blk.0.attn_q.weight", (256, 256), np.inf, "has values that are not finite"),
        ("blk.0.ffn_down.weight", (256, 768), 0, "is zero wherever it was looked at"),
        ("token_embd.weight", (512, 256), np.nan, "has values that are not finite"),
    ],
)
def test_check_names_the_tensor_that_is_unsound(
    tmp_path: Path, name: str, shape: tuple[int, ...], value: float, sentence: str
) -> None:
    made(tmp_path, ModelSpec(n_layer=1))
    model = rewritten(tmp_path, changed={}, tensors=[broken(shape, value, name)])
    with pytest.raises(BadInput, match=f"y.gguf: tensor {name} {sentence}"):
        check_mapping(model)


def test_row_of_a_ternary_matrix_is_read_with_the_scale_of_its_tail(tmp_path: Path) -> None:
    from bitparity.model.rows import read_rows

    for weight_format in ("I2_S", "TQ1_0", "TQ2_0", "F16"):
        model = made(tmp_path, replace(ModelSpec(n_layer=1), weight_format=weight_format))
        down = model.weights.layers[0]["down"]
        np.testing.assert_array_equal(read_rows(down, [5, 0, 255]), down.values()[[5, 0, 255]])
