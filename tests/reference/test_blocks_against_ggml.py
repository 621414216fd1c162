"""Formats of real weights in blocks, byte for byte and bit for bit as the references' own functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.formats import DENSE, FLOATS
from bitparity.fuzz.cases import DEFINITIONS, WEIGHT_RECIPES, WeightCase
from bitparity.fuzz.implementations import Implementation
from bitparity.pytest_plugin import require_engine
from bitparity.settings import read_settings
from bitparity_reference.implementations import bitnet_cpp, llama_cpp

BLOCKS = [*(name for name in DENSE if name not in FLOATS), "Q2_0"]
FINDERS = {"bitnet.cpp": bitnet_cpp, "llama.cpp": llama_cpp}


@pytest.fixture(scope="module", params=FINDERS)
def ggml(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    require_engine(request.config, request.param)
    found = FINDERS[request.param](read_settings())[0]
    yield found
    found.close()


@pytest.mark.parametrize("name", BLOCKS)
def test_pack_equals_ggml(ggml: Implementation, name: str) -> None:
    if not ggml.has("pack", name):
        pytest.skip(f"{ggml.name} has no {name}, or fuses products in its quantizer")
    compared = 0
    for seed, recipe in enumerate(WEIGHT_RECIPES):
        values = WeightCase(3, 512, recipe, 0.02, seed).values()
        try:
            expected = DEFINITIONS[name].pack(values)
        except BadInput:
            continue
        np.testing.assert_array_equal(ggml.run("pack", name, values), expected, err_msg=recipe)
        compared += 1
    assert compared > 8


@pytest.mark.parametrize("name", BLOCKS)
def test_unpack_equals_ggml(ggml: Implementation, name: str) -> None:
    if not ggml.has("unpack", name):
        pytest.skip(f"{ggml.name} has no {name}")
    packed = np.random.default_rng(1).integers(0, 256, DEFINITIONS[name].size(8, 512), dtype=np.uint8)
    packed = DEFINITIONS[name].with_legal_codes(packed, 8, 512)
    scales = DEFINITIONS[name].scales_in(packed, 8, 512)
    scales[~np.isfinite(scales)] = 1
    expected = DEFINITIONS[name].unpack(packed, 8, 512)
    actual = ggml.run("unpack", name, packed, 8, 512)
    assert actual.tobytes() == expected.tobytes()
