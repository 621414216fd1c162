"""Hypothesis strategies that aim where bugs live: block and tile edges, extreme codes, ties, every magnitude.

Strategies shrink towards few rows, one block, plain recipes, magnitude 1 and seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bitparity.errors import ShapeError
from bitparity.formats.table_lookup import TableLookupFormat
from bitparity.fuzz.cases import (
    ACTIVATION_RECIPES,
    DEFINITIONS,
    TERNARY_RECIPES,
    WEIGHT_RECIPES,
    BytesCase,
    ProductCase,
    WeightCase,
)

T = TypeVar("T")
Case = TypeVar("Case")
MAX_VALUES = 1 << 12  # of one matrix in the contracts of formats
SEEDS = 1 << 16
F16_SMALLEST_NORMAL = 2.0**-14
F16_EDGES = (65504.0, 65520.0, F16_SMALLEST_NORMAL, 2.0**-24, 2.0**-25)
# Scales of every magnitude, the plain ones first: subnormal to nearly the largest float, and the ends of F16.
MAGNITUDES = (
    *(1.0, 0.5, 0.02, 1e-5, 1e-6, *F16_EDGES),
    *(2.0**exponent for exponent in range(-149, 128)),
    *(float(np.float32(1.7 * 2.0**exponent)) for exponent in range(-126, 127)),
)
MODERATE = (1.0, 0.02, 0.75, 3.5, 12.0)


def shapes(weight_format: str) -> list[tuple[int, int]]:
    """Shapes that the format holds: one to a few blocks, rows around 4, 8, 16 and 32."""
    definition = DEFINITIONS[weight_format]
    if isinstance(definition, TableLookupFormat):
        return sorted(definition.tilings)
    block, row_counts = definition.block, [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 33]
    if block == 1:  # any width; around the vector lengths of SIMD code
        cols = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 512]
    else:
        cols = [block * n for n in (1, 2, 3, 4, 5, 8, 16)]
    small = [(r, c) for r in row_counts for c in cols if r * c <= MAX_VALUES]
    return sorted(_held(weight_format, small), key=lambda shape: shape[0] * shape[1])


def _held(weight_format: str, candidates: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those shapes that the format holds: some have blocks of rows too."""

    def is_held(shape: tuple[int, int]) -> bool:
        try:
            DEFINITIONS[weight_format].size(*shape)
        except ShapeError:
            return False
        return True

    return list(filter(is_held, candidates))


def weights(weight_format: str) -> SearchStrategy[WeightCase]:
    return _weight_cases(weight_format, tuple(WEIGHT_RECIPES), MAGNITUDES)


def ternary_weights(weight_format: str) -> SearchStrategy[WeightCase]:
    """Codes times a scale that F16 holds exactly and that lies outside bitnet.cpp's dead zone."""
    scales = [(1 + m / 4) * 2.0**exponent for exponent in range(-18, 16) for m in range(4)]
    return _weight_cases(weight_format, TERNARY_RECIPES, (1.0, *scales))


def moderate_weights(weight_format: str) -> SearchStrategy[WeightCase]:
    """Weights that scaling by a few powers of two keeps clear of the dead zone and of F16's upper end."""
    return _weight_cases(weight_format, (*TERNARY_RECIPES, "ties"), MODERATE)


def scalable_weights(weight_format: str) -> SearchStrategy[WeightCase]:
    """Moderate weights whose scales are clear of F16's lower end too, below which it keeps fewer bits."""
    reach = DEFINITIONS[weight_format].reach
    magnitudes = [m for m in MODERATE if m / reach >= F16_SMALLEST_NORMAL]
    return _weight_cases(weight_format, (*TERNARY_RECIPES, "ties"), magnitudes)


def _weight_cases(
    name: str, recipes: Sequence[str], magnitudes: Sequence[float]
) -> SearchStrategy[WeightCase]:
    def build(what: tuple[tuple[int, int], str], number: int) -> WeightCase:
        (rows, cols), recipe = what
        magnitude, seed = divmod(number, SEEDS)
        return WeightCase(rows, cols, recipe, magnitudes[magnitude], seed)

    return _two_draws(product(shapes(name), recipes), len(magnitudes) * SEEDS, build)


def packed_bytes(weight_format: str) -> SearchStrategy[BytesCase]:
    def build(what: tuple[tuple[int, int], str], seed: int) -> BytesCase:
        (rows, cols), recipe = what
        return BytesCase(rows, cols, recipe, seed)

    return _two_draws(product(shapes(weight_format), ("constant", "counting", "random")), SEEDS, build)


def products(weight_format: str) -> SearchStrategy[ProductCase]:
    """Widths up to 96 blocks of I2_S: accumulators that are too narrow overflow after 16 to 32 blocks."""
    tokens = (1, 2, 3, 4, 5, 9)

    def build(what: tuple[tuple[int, int], int, str, str], seed: int) -> ProductCase:
        (rows, cols), count, weights, activations = what
        return ProductCase(rows, cols, count, weights, activations, seed)

    kinds = product(_product_shapes(weight_format), tokens, TERNARY_RECIPES, ACTIVATION_RECIPES)
    return _two_draws(kinds, SEEDS, build)


def _product_shapes(weight_format: str) -> list[tuple[int, int]]:
    definition = DEFINITIONS[weight_format]
    if isinstance(definition, TableLookupFormat):
        return shapes(weight_format)
    block = definition.block
    blocks = (1, 2, 3, 4, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 96)
    widths = [n * block for n in blocks if n * block <= 96 * 128]
    return _held(weight_format, [(r, c) for c, r in product(widths, (1, 2, 3, 4, 5, 8, 9))])


def _two_draws(kinds: Iterable[T], numbers: int, build: Callable[[T, int], Case]) -> SearchStrategy[Case]:
    """One choice and one number for a case: hypothesis spends several times longer on cases of many draws."""
    drawn = st.tuples(st.sampled_from(list(kinds)), st.integers(0, numbers - 1))
    return drawn.map(lambda pair: build(*pair))
