"""verify-weights: the same weights in every format, and each planted difference found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.cli.verify_weights import command
from bitparity.formats import get_format, is_ternary
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model, Tensor
from bitparity.model.verify import rope_pairs_to_halves, verify_weights

FORMATS = ("I2_S", "TQ1_0", "TQ2_0", "F16", "F32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("verify") / "model.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512, tied=False))
    return open_model(path)


def _with(model: Model, name: str, data: np.ndarray) -> Model:
    tensor: Tensor = model.tensors[name]
    return replace(model, tensors={**model.tensors, name: replace(tensor, data=data)})


def _recoded(
    model: Model, name: str, change: Callable[[np.ndarray], np.ndarray], scale: float | None = None
) -> Model:
    tensor = model.tensors[name]
    weight_format = get_format(tensor.format)
    assert is_ternary(weight_format)
    codes, scales = weight_format.unpack_codes(tensor.data, *tensor.shape)
    changed = weight_format.pack_codes(change(codes.copy()), float(scales[0, 0]) if scale is None else scale)
    return _with(model, name, changed)


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

    (found,) = verify_weights(model, _recoded(model, "blk.0.ffn_up.weight", change)).differences
    assert (found.tensor, found.kind, found.row, found.col) == ("blk.0.ffn_up.weight", "codes", 3, 200)
    assert "1 of" in found.message


def test_wrong_scale_is_found(model: Model) -> None:
    scale = float(np.float32(0.0123))
    (found,) = verify_weights(model, _recoded(model, "blk.0.ffn_up.weight", lambda c: c, scale)).differences
    assert found.kind == "scale"


def test_scale_one_float_away_is_found(model: Model) -> None:
    name = "blk.0.ffn_up.weight"
    scale = float(np.nextafter(model.tensors[name].data[-32:-28].view("<f4")[0], np.float32(1)))
    (found,) = verify_weights(model, _recoded(model, name, lambda c: c, scale)).differences
    assert found.kind == "scale"


def test_inverted_scale_is_named(model: Model) -> None:
    name = "blk.0.ffn_up.weight"
    scale = float(np.float32(1) / model.tensors[name].data[-32:-28].view("<f4")[0])
    (found,) = verify_weights(model, _recoded(model, name, lambda c: c, scale)).differences
    assert found.kind == "inverted scale"


def test_inverted_signs_are_named(model: Model) -> None:
    (found,) = verify_weights(model, _recoded(model, "blk.0.ffn_up.weight", lambda c: -c)).differences
    assert found.kind == "signs are inverted"


@pytest.mark.parametrize("part", ["q", "k"])
def test_rope_permutation_of_q_and_k_is_named_in_both_directions(model: Model, part: str) -> None:
    heads = model.hyper.n_head if part == "q" else model.hyper.n_head_kv
    permuted = _recoded(model, f"blk.0.attn_{part}.weight", lambda c: rope_pairs_to_halves(c, heads))
    (there,) = verify_weights(model, permuted).differences
    (back,) = verify_weights(permuted, model).differences
    assert there.kind == "rows are permuted for RoPE in the second file (pairs to halves)"
    assert back.kind == "rows are permuted for RoPE in the first file (pairs to halves)"


def test_head_tied_in_one_file_only_is_named(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "tied.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512, tied=True))
    found = verify_weights(model, open_model(path)).differences[0]
    assert found.kind == "tied head"
    assert "differs from its embedding" in found.message


def test_head_value_is_found(model: Model) -> None:
    data = model.weights.head.data.copy()
    data[2 * (5 * model.hyper.n_embd + 7) + 1] ^= 0x40
    changed = replace(model, weights=replace(model.weights, head=replace(model.weights.head, data=data)))
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
