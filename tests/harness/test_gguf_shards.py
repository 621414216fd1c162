"""Models in several files: read as one, and every way in which shards can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.convert import convert
from bitparity.runs import file_digest
from shards import SAID, split_into


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return split_into(bundled_model(), 3, tmp_path)


def test_model_in_shards_is_the_model_in_one_file(shards: list[Path]) -> None:
    whole, split = open_model(bundled_model()), open_model(shards[0])
    assert list(split.tensors) == list(whole.tensors)
    assert all(np.array_equal(split.tensors[name].data, t.data) for name, t in whole.tensors.items())
    assert split.hyper == whole.hyper
    assert split.metadata.keys() == whole.metadata.keys()


def test_what_is_converted_from_shards_is_one_file(shards: list[Path], tmp_path: Path) -> None:
    convert(shards[0], tmp_path / "whole.gguf", "F16")
    converted = open_model(tmp_path / "whole.gguf")
    assert list(converted.tensors) == list(open_model(bundled_model()).tensors)


def test_digest_is_that_of_all_shards(shards: list[Path]) -> None:
    before = file_digest(shards[0])
    with shards[2].open("ab") as file:
        file.write(b"x")
    assert file_digest(shards[0]) != before


@pytest.mark.parametrize("spoil", SAID, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_with_shards_is_told(shards: list[Path], spoil: Callable[[list[Path]], Path]) -> None:
    with pytest.raises(BadInput, match=SAID[spoil]):
        open_model(spoil(shards))
