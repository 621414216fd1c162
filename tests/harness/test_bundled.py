"""The bundled models: what they are, and that their conversions hold the same weights."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.formats import get_format, is_ternary
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.types import Model
from bitparity.tokenizer import Tokenizer

SIZE_LIMIT = 6_000_000  # bytes, all bundled models together


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path))
    return tmp_path / "models"


def ternary_weights(model: Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Tensor name -> codes and scales of every projection."""
    found = {}
    for name, tensor in model.tensors.items():
        weight_format = get_format(tensor.format)
        if is_ternary(weight_format):
            found[name] = weight_format.unpack_codes(tensor.data, *tensor.shape)
    return found


@pytest.mark.parametrize("arch", ARCHS)
def test_bundled_model_is_ternary_with_a_tied_f16_head(arch: str) -> None:
    model = open_model(bundled_model(arch))
    assert model.hyper.arch == arch
    assert model.weights.head_is_tied
    assert model.format_counts() == {"TQ1_0": 42, "F32": 25, "F16": 1}


@pytest.mark.parametrize("arch", ARCHS)
def test_every_projection_has_one_scale_and_all_three_codes(arch: str) -> None:
    """One scale: then I2_S, which has no more, holds the same weights."""
    weights = ternary_weights(open_model(bundled_model(arch)))
    assert len(weights) == 42
    for name, (codes, scales) in weights.items():
        assert len(np.unique(scales)) == 1, name
        assert set(np.unique(codes)) == {-1, 0, 1}, name


@pytest.mark.parametrize("arch", ARCHS)
def test_training_went_well_below_the_unigram_entropy(arch: str) -> None:
    record = json.loads(open_model(bundled_model(arch)).metadata["bitparity.training"])
    assert record["arch"] == arch
    assert record["validation_loss"] < 0.7 * record["unigram_entropy"]


def test_bundled_models_stay_small() -> None:
    assert sum(bundled_model(arch).stat().st_size for arch in ARCHS) < SIZE_LIMIT


@pytest.mark.parametrize("arch", ARCHS)
def test_bundled_vocabulary_round_trips_text(arch: str) -> None:
    tokenizer = Tokenizer.from_gguf(open_model(bundled_model(arch)).metadata)
    text = "The :class:`int` object, naïvely: 1234 😀\r\n\r\n    return"
    ids = tokenizer.encode(text, add_bos=True, parse_special=False)
    assert tokenizer.decode([ids[0]]) == "<|begin_of_text|>"
    assert tokenizer.decode(ids[1:]) == text


@pytest.mark.parametrize("weight_format", ["I2_S", "TQ2_0"])
@pytest.mark.parametrize("arch", ARCHS)
def test_conversion_holds_the_same_codes_and_scales(arch: str, weight_format: str) -> None:
    expected = ternary_weights(open_model(bundled_model(arch)))
    actual = ternary_weights(open_model(bundled_model(arch, weight_format)))
    assert expected.keys() == actual.keys()
    assert len(expected) == 42
    for name, (codes, scales) in expected.items():
        np.testing.assert_array_equal(actual[name][0], codes, err_msg=name)
        assert np.unique(actual[name][1]) == np.unique(scales), name


def test_conversion_is_made_once_and_leaves_nothing_else(cache: Path) -> None:
    first = bundled_model("bitnet", "I2_S")
    written = first.stat().st_mtime_ns
    second = bundled_model("bitnet", "I2_S")
    assert second == first
    assert second.stat().st_mtime_ns == written
    assert list(cache.iterdir()) == [first]


def test_conversions_at_the_same_time_leave_one_whole_file(cache: Path) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(bundled_model("bitnet", "TQ2_0"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(cache.iterdir()) == [paths[0]]
    assert len(paths) == 4
    assert open_model(paths[0]).format_counts()["TQ2_0"] == 42


def test_conversion_that_fails_leaves_nothing(cache: Path) -> None:
    with pytest.raises(BadInput, match="Q9_9"):
        bundled_model("bitnet", "Q9_9")
    assert list(cache.iterdir()) == []


def test_arch_that_is_not_bundled_is_reported() -> None:
    with pytest.raises(BadInput, match=r"'llama'; there are bitnet, bitnet-b1\.58"):
        bundled_model("llama")


@pytest.mark.parametrize("weight_format", ["F32", "F16", "BF16"])
def test_conversion_to_floats_holds_the_same_values(weight_format: str) -> None:
    expected = open_model(bundled_model("bitnet"))
    actual = open_model(bundled_model("bitnet", weight_format))
    for layer, same in zip(expected.weights.layers, actual.weights.layers, strict=True):
        assert same["down"].format == weight_format
        np.testing.assert_array_equal(same["down"].values(), layer["down"].values())
