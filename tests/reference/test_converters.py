"""TL1 and TL2 of real weight shapes, packed by bitnet.cpp's own converter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from bitparity.errors import EngineUnavailable
from bitparity.formats import get_format
from bitparity.formats.table_lookup import TL1_TILINGS, TL2_TILINGS
from bitparity.fuzz.implementations import Implementation, pick
from bitparity.settings import read_settings
from bitparity_reference.implementations import bitnet_cpp

LARGEST = 7_000_000  # weights; larger shapes take seconds each
SHAPES = [
    (name, shape)
    for name, tilings in (("TL1", TL1_TILINGS), ("TL2", TL2_TILINGS))
    for shape in tilings
    if shape[0] * shape[1] <= LARGEST
]


@pytest.fixture(scope="module")
def converter() -> Iterator[Implementation]:
    try:
        found = bitnet_cpp(read_settings())
    except EngineUnavailable as error:
        pytest.skip(str(error))
    yield pick(found, "bitnet.cpp converter")
    for implementation in found:
        implementation.close()


@pytest.mark.parametrize(("name", "shape"), SHAPES, ids=str)
def test_packing_of_a_preset_shape_is_the_converters(
    converter: Implementation, name: str, shape: tuple[int, int]
) -> None:
    codes = np.random.default_rng(0).integers(-1, 2, shape, dtype=np.int8)
    values = codes * np.float32(0.3)
    assert np.array_equal(get_format(name).pack(values), converter.run("pack", name, values))
