"""Models in several files: read as one, and every way in which shards can be wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.convert import convert
from bitparity.runs import file_digest
from shards import split_into


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


def named_otherwise(shards: list[Path]) -> Path:
    return shards[0].rename(shards[0].with_name("m.gguf"))


def missing(shards: list[Path]) -> Path:
    shards[1].unlink()
    return shards[0]


def exchanged(shards: list[Path]) -> Path:
    shutil.copy(shards[2], shards[1])
    return shards[0]


def the_same_twice(shards: list[Path]) -> Path:
    """The second shard is one of the model split in another way, and has tensors of the third."""
    split_into(bundled_model(), 2, shards[0].parent, "other")[1].rename(shards[1])
    return shards[0]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda shards: shards[1], r"is shard 2 of 3 .*; name the first one: m-00001-of-00003\.gguf"),
        (named_otherwise, r"should end with -00001-of-00003\.gguf"),
        (missing, r"its shard m-00002-of-00003\.gguf: no such file"),
        (exchanged, r"its shard m-00002-of-00003\.gguf: it says split.no = 2, and its name says 1"),
        (the_same_twice, "tensor blk.* is in two shards; download them again"),
    ],
)
def test_what_is_wrong_with_shards_is_told(
    shards: list[Path], spoil: Callable[[list[Path]], Path], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        open_model(spoil(shards))
