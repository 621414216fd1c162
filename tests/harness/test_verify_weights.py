"""verify-weights: the same weights in every format, and each planted difference found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from bitparity.cli.verify_weights import command
from bitparity.formats import I2_S_LAYOUTS, get_format
from bitparity.formats.i2_s import I2_S
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.convert import convert
from bitparity.model.rope_order import rope_pairs_to_halves
from bitparity.model.row_reader import row_ranges
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model, Tensor
from bitparity.model.verify import verify_weights
from bitparity.model.writer import uint32_field
from harness.verify_cases import FORMATS, recoded
from rewrite import rewrite


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("verify") / "model.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512, tied=False))
    return open_model(path)


@pytest.mark.parametrize("arch", ARCHS)
def test_trained_model_is_the_same_in_all_formats(arch: str) -> None:
    for first, second in product(FORMATS, repeat=2):
        if first < second:
            found = verify_weights(
                open_model(bundled_model(arch, first)), open_model(bundled_model(arch, second))
            )
            assert found.is_same, (first, second, found.differences[:1])
            assert found.weights > 1_000_000


def test_one_code_is_found_by_tensor_row_and_column(model: Model) -> None:
    def change(codes: np.ndarray) -> np.ndarray:
        codes[3, 200] = 1 if codes[3, 200] != 1 else 0
        return codes

    (found,) = verify_weights(model, recoded(model, "blk.0.ffn_up.weight", change)).differences
    assert (found.tensor, found.kind, found.row, found.col) == ("blk.0.ffn_up.weight", "codes", 3, 200)
    assert "1 of" in found.message


def test_wrong_scale_is_found(model: Model) -> None:
    scale = float(np.float32(0.0123))
    (found,) = verify_weights(model, recoded(model, "blk.0.ffn_up.weight", lambda c: c, scale)).differences
    assert found.kind == "scale"


def test_scale_one_float_away_is_found(model: Model) -> None:
    name = "blk.0.ffn_up.weight"
    scale = float(np.nextafter(model.tensors[name].data[-32:-28].view("<f4")[0], np.float32(1)))
    (found,) = verify_weights(model, recoded(model, name, lambda c: c, scale)).differences
    assert found.kind == "scale"


def test_scale_rounded_to_bf16_is_named(model: Model) -> None:
    """As of weights that transformers quantised while it computed in BF16."""
    name = "blk.0.ffn_up.weight"
    exact = recoded(model, name, lambda c: c, float(np.float32(0.0123)))
    rounded = recoded(model, name, lambda c: c, 0.01232910156250)
    (found,) = verify_weights(exact, rounded).differences
    assert found.kind == "scale in BF16"
    assert "that of the second file is the other rounded to BF16" in found.message
    assert found.effect.startswith("its outputs are 1.00237 times")


def test_inverted_scale_is_named(model: Model) -> None:
    name = "blk.0.ffn_up.weight"
    scale = float(np.float32(1) / model.tensors[name].data[-32:-28].view("<f4")[0])
    (found,) = verify_weights(model, recoded(model, name, lambda c: c, scale)).differences
    assert found.kind == "inverted scale"


def test_inverted_signs_are_named(model: Model) -> None:
    (found,) = verify_weights(model, recoded(model, "blk.0.ffn_up.weight", lambda c: -c)).differences
    assert found.kind == "signs are inverted"


@pytest.mark.parametrize("part", ["q", "k"])
def test_rope_permutation_of_q_and_k_is_named_in_both_directions(model: Model, part: str) -> None:
    heads = model.hyper.n_head if part == "q" else model.hyper.n_head_kv
    permuted = recoded(model, f"blk.0.attn_{part}.weight", lambda c: rope_pairs_to_halves(c, heads))
    (there,) = verify_weights(model, permuted).differences
    (back,) = verify_weights(permuted, model).differences
    assert there.kind == "rows are permuted for RoPE in the second file (pairs to halves)"
    assert back.kind == "rows are permuted for RoPE in the first file (pairs to halves)"


def test_layout_that_would_make_the_files_equal_is_named(tmp_path: Path) -> None:
    expected = open_model(bundled_model(weight_format="TQ2_0"))
    i2_s = open_model(bundled_model(weight_format="I2_S"))
    for layout in [name for name in I2_S_LAYOUTS if name != "I2_S"]:

        def repack(data: NDArray[np.uint8], tensor: Tensor, layout: str = layout) -> None:
            codes, scales = I2_S.unpack_codes(data, *tensor.shape)
            data[:] = get_format(layout).pack(codes * scales)

        changes = {name: repack for name, t in i2_s.tensors.items() if t.format == "I2_S"}
        path = rewrite(i2_s.path, tmp_path / f"{layout}.gguf", changes=changes)
        there, back = verify_weights(expected, open_model(path)), verify_weights(open_model(path), expected)
        assert there.explained == f"the second file has the layout {layout}: read so, all codes are equal"
        assert back.explained == f"the first file has the layout {layout}: read so, all codes are equal"
        assert len(there.differences) == 42
        said = CliRunner().invoke(command, [str(expected.path), str(path)]).output
        assert f"one reason for all 42 differences: {there.explained}" in said


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        (lambda scale, share: scale * share, "mean for maximum", "the second file has the mean magnitude"),
        (lambda scale, share: scale / share, "mean for maximum", "the first file has the mean magnitude"),
        (lambda scale, share: 1 / (scale * share), "inverted mean", "the inverse of the mean magnitude"),
        (lambda scale, share: 1 / scale, "inverted scale", "divided by in the other"),
        (lambda scale, share: scale * 2, "scale", "their ratio is 2"),
    ],
)
def test_ratio_of_scales_is_explained(
    model: Model, changed: Callable[[float, float], float], kind: str, words: str
) -> None:
    name = "blk.0.ffn_up.weight"
    tensor = model.tensors[name]
    codes, scales = I2_S.unpack_codes(tensor.data, *tensor.shape)
    scale = changed(float(scales[0, 0]), np.count_nonzero(codes) / codes.size)
    other = recoded(model, name, lambda c: c, float(np.float32(scale)))
    (found,) = verify_weights(model, other).differences
    assert found.kind == kind
    assert words in found.message


def test_weights_of_several_magnitudes_are_not_ternary(model: Model) -> None:
    name = "blk.0.ffn_up.weight"
    tensor = model.tensors[name]
    values = tensor.values()
    values[5, 7] = 3.0
    dense = tensor.holding(values.reshape(-1).view(np.uint8), format="F32")
    other = replace(model, tensors={**model.tensors, name: dense})
    for pair, which in (((model, other), "second"), ((other, model), "first")):
        (found,) = verify_weights(*pair).differences
        assert found.kind == "not ternary"
        assert f"several magnitudes in the {which} file" in found.message


def test_float_zeros_with_a_sign_and_scales_by_block_are_the_same(model: Model) -> None:
    name = "blk.0.ffn_up.weight"
    tensor = model.tensors[name]
    values = tensor.values()
    values[values == 0] = -0.0
    dense = tensor.holding(values.reshape(-1).view(np.uint8), format="F32")
    assert verify_weights(model, replace(model, tensors={**model.tensors, name: dense})).is_same


@pytest.mark.parametrize("other", ["I2_S", "TQ2_0", "F16", "F32"])
@pytest.mark.parametrize("name", ["IQ2_BN", "IQ1_BN"])
def test_rows_of_zeros_that_ik_llama_cpp_packs_as_ones_are_the_same(
    model: Model, name: str, other: str
) -> None:
    tensor = "blk.0.ffn_up.weight"
    shape = model.tensors[tensor].shape
    values = np.random.default_rng(0).integers(-1, 2, shape).astype(np.float32)
    values[3:5] = 0

    def packed(weight_format: str) -> Model:
        data = get_format(weight_format).pack(values)
        changed = replace(model.tensors[tensor], format=weight_format, load=lambda: data)
        return replace(model, tensors={**model.tensors, tensor: changed})

    for first, second in ((name, other), (other, name)):
        report = verify_weights(packed(first), packed(second))
        assert [d for d in report.differences if d.tensor == tensor] == []


def test_embedding_in_a_format_that_rounds_is_told_and_projections_are_compared(tmp_path: Path) -> None:
    source = bundled_model(weight_format="TQ2_0")
    formats = {"token_embd.weight": "Q8_0"}
    rounded = rewrite(source, tmp_path / "rounded.gguf", formats=formats)
    found = verify_weights(open_model(source), open_model(rounded))
    assert (found.is_same, found.rounded) == (True, ("token_embd.weight",))
    said = CliRunner().invoke(command, [str(source), str(rounded)]).output
    assert "token_embd.weight is rounded in one file, to what packing the other's weights gives" in said

    def change(data: NDArray[np.uint8], tensor: Tensor) -> None:
        data[2] ^= 1  # the first code

    other = rewrite(rounded, tmp_path / "other.gguf", changes={"token_embd.weight": change})
    (difference,) = verify_weights(open_model(source), open_model(other)).differences
    assert (difference.tensor, difference.kind) == ("token_embd.weight", "values")


def test_blocks_of_rows_cover_every_row_and_heads_stay_whole() -> None:
    for shape, multiple in (
        ((7, 256), 1),
        ((3000, 2560), 64),
        ((1, 8), 1),
        ((12,), 4),
        ((130, 1 << 20), 128),
    ):
        ranges = list(row_ranges(shape, multiple))
        rows = (1, *shape)[-2]
        assert [last for _, last in ranges[:-1]] == [first for first, _ in ranges[1:]]
        assert (ranges[0][0], ranges[-1][1]) == (0, rows)
        assert all((last - first) % multiple == 0 for first, last in ranges[:-1])


def test_head_tied_in_one_file_only_is_named(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "tied.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512, tied=True))
    found = verify_weights(model, open_model(path)).differences[0]
    assert found.kind == "tied head"
    assert "differs from its embedding" in found.message


def test_head_value_is_found(model: Model) -> None:
    data = model.weights.head.data.copy()
    data[2 * (5 * model.hyper.n_embd + 7) + 1] ^= 0x40
    changed = replace(model, weights=replace(model.weights, head=model.weights.head.holding(data)))
    (found,) = verify_weights(model, changed).differences
    assert (found.tensor, found.row, found.col) == ("output.weight", 5, 7)


def test_missing_tensor_is_named(model: Model) -> None:
    fewer = {name: t for name, t in model.tensors.items() if name != "output_norm.weight"}
    (found,) = verify_weights(model, replace(model, tensors=fewer)).differences
    assert (found.tensor, found.kind) == ("output_norm.weight", "missing")


def test_shape_is_named(model: Model) -> None:
    wide = replace(model.tensors["blk.0.ffn_up.weight"], shape=(1, 2))
    (found,) = verify_weights(model, replace(model, tensors={**model.tensors, wide.name: wide})).differences
    assert found.kind == "shape"


def test_transposed_embedding_is_the_same(tmp_path: Path) -> None:
    paths = [tmp_path / f"{flag}.gguf" for flag in (False, True)]
    for path, flag in zip(paths, (False, True), strict=True):
        make_model(path, ModelSpec(n_layer=1, n_vocab=512, embedding_transposed=flag))
    assert verify_weights(*(open_model(path) for path in paths)).is_same


def test_nothing_compared_is_not_the_same(model: Model) -> None:
    empty = replace(model, tensors={}, weights=replace(model.weights, head_is_tied=True))
    assert not verify_weights(empty, empty).is_same


def test_command_says_the_same_and_exits_by_the_result(tmp_path: Path) -> None:
    paths = []
    for seed in (0, 1):
        paths.append(tmp_path / f"{seed}.gguf")
        make_model(paths[-1], ModelSpec(n_layer=1, n_vocab=512, seed=seed))
    same = CliRunner().invoke(command, [str(paths[0]), str(paths[0])])
    assert (same.exit_code, same.output.startswith("the same: ")) == (0, True)
    other = CliRunner().invoke(command, [str(paths[0]), str(paths[1]), "--json", str(tmp_path / "out.json")])
    assert other.exit_code == 1
    assert "codes differ, first at row" in other.output
    assert '"same": false' in (tmp_path / "out.json").read_text()


def test_file_that_says_i2_s_and_holds_f16_is_told(model: Model, tmp_path: Path) -> None:
    convert(model.path, tmp_path / "f16.gguf", "F16")
    says = rewrite(
        tmp_path / "f16.gguf", tmp_path / "says.gguf", fields={"general.file_type": uint32_field(40)}
    )
    done = CliRunner().invoke(command, [str(model.path), str(says)])
    assert done.exit_code == 0  # the weights are the same
    assert "says.gguf: general.file_type is 40, I2_S, and no tensor is in it" in done.output
    done = CliRunner().invoke(command, [str(model.path), str(tmp_path / "f16.gguf")])
    assert "file_type" not in done.output
