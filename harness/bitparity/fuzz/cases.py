"""Inputs as small data: a case names a recipe and a seed, and makes its arrays when asked.

Cases print as the Python that builds them, so a counterexample is a snippet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bitparity.formats import FORMATS, with_tilings
from bitparity.formats.base import Bytes, Codes, Floats, WeightFormat
from bitparity.formats.table_lookup import TL1_TILINGS, TL2_TILINGS, Tiling, Tilings

# Tilings for shapes so small that thousands fit in a run; the converter takes any tiling that divides.
SMALL_TL1: Tilings = {
    (32, 64): Tiling(32, 64, 32),
    (64, 128): Tiling(32, 64, 32),
    (128, 64): Tiling(64, 32, 64),
    (96, 96): Tiling(32, 32, 32),
}
SMALL_TL2: Tilings = {
    (32, 288): Tiling(32, 96, 32),
    (32, 320): Tiling(32, 96, 32),
    (64, 512): Tiling(32, 96, 32),
    (64, 384): Tiling(64, 192, 32),
}
_SMALL = {"TL1": SMALL_TL1, "TL2": SMALL_TL2}
# Tilings that divide every weight of the small model that sessions are searched on.
OF_SESSIONS = {"TL1": Tiling(128, 128, 32), "TL2": Tiling(128, 96, 32)}
# Every tiling that is known by name: bitnet.cpp's presets too.
TILINGS: dict[str, Tilings] = {"TL1": TL1_TILINGS | SMALL_TL1, "TL2": TL2_TILINGS | SMALL_TL2}
DEFINITIONS: dict[str, WeightFormat] = {name: with_tilings(name, _SMALL.get(name)) for name in FORMATS}


@dataclass(frozen=True)
class WeightCase:
    """A matrix of weights: recipe(rows, cols) x magnitude."""

    rows: int
    cols: int
    recipe: str
    magnitude: float
    seed: int

    def values(self) -> Floats:
        rng = np.random.default_rng(self.seed)
        with np.errstate(over="ignore", under="ignore"):
            values = WEIGHT_RECIPES[self.recipe](rng, (self.rows, self.cols)) * np.float32(self.magnitude)
        limit = np.finfo(np.float32).max
        clipped: Floats = np.clip(values, -limit, limit).astype(np.float32)
        return clipped

    def codes(self) -> Codes:
        rng = np.random.default_rng(self.seed)
        return np.sign(WEIGHT_RECIPES[self.recipe](rng, (self.rows, self.cols))).astype(np.int8)


@dataclass(frozen=True)
class BytesCase:
    """Packed bytes: all values of a byte, in runs or at random."""

    rows: int
    cols: int
    recipe: str
    seed: int

    def packed(self, size: int) -> Bytes:
        rng = np.random.default_rng(self.seed)
        if self.recipe == "counting":
            return ((np.arange(size) + self.seed) % 256).astype(np.uint8)
        if self.recipe == "constant":
            return np.full(size, self.seed % 256, dtype=np.uint8)
        return rng.integers(0, 256, size, dtype=np.uint8)


@dataclass(frozen=True)
class ProductCase:
    """Ternary weights (rows, cols) and int8 activations (tokens, cols)."""

    rows: int
    cols: int
    tokens: int
    weights: str
    activations: str
    seed: int

    def codes(self) -> Codes:
        return WeightCase(self.rows, self.cols, self.weights, 1.0, self.seed).codes()

    def x(self) -> NDArray[np.int8]:
        rng = np.random.default_rng(self.seed + 1)
        return ACTIVATION_RECIPES[self.activations](rng, (self.tokens, self.cols)).astype(np.int8)


Shape = tuple[int, int]
Recipe = Callable[[Generator, Shape], NDArray[Any]]


def _ternary(rng: Generator, shape: Shape) -> NDArray[Any]:
    values: Floats = rng.integers(-1, 2, shape).astype(np.float32)
    return values


def _gaussian(rng: Generator, shape: Shape) -> NDArray[Any]:
    return rng.standard_normal(shape, dtype=np.float32)


def _single(rng: Generator, shape: Shape) -> NDArray[Any]:
    values = np.zeros(shape, dtype=np.float32)
    values[rng.integers(shape[0]), rng.integers(shape[1])] = rng.choice([-1, 1])
    return values


def _outlier(rng: Generator, shape: Shape) -> NDArray[Any]:
    values = _gaussian(rng, shape) / np.float32(100)
    values[rng.integers(shape[0]), rng.integers(shape[1])] = rng.choice([-3000, 3000])
    return values


def _zero_rows(rng: Generator, shape: Shape) -> NDArray[Any]:
    values: NDArray[Any] = _ternary(rng, shape) * rng.integers(0, 2, (shape[0], 1))
    return values


def _signed_zeros(rng: Generator, shape: Shape) -> NDArray[Any]:
    values: NDArray[Any] = np.copysign(
        _ternary(rng, shape) * rng.integers(0, 2, shape), rng.choice([-1, 1], shape)
    )
    return values


def _ties(rng: Generator, shape: Shape) -> NDArray[Any]:
    """Exact halves of the maximum and of 127ths of it, and their neighbours on either side."""
    halves = rng.choice(
        np.array([0.5, 0.5 / 127, 1.5 / 127, 63.5 / 127, 126.5 / 127, 1], dtype=np.float32), shape
    )
    towards = rng.choice(np.array([0, 1, 2], dtype=np.float32), shape)
    neighbours = np.where(towards == 2, halves, np.nextafter(halves, towards))
    values = neighbours * rng.choice(np.array([-1, 1], dtype=np.float32), shape)
    values[..., 0] = 1
    edges: NDArray[Any] = values.astype(np.float32)
    return edges


def _dead_zone(rng: Generator, shape: Shape) -> NDArray[Any]:
    """Around the 1e-6 below which bitnet.cpp sees zero, when the magnitude is 1."""
    edge = np.float32(1e-6)
    near = np.array(
        [edge, np.nextafter(edge, 0), np.nextafter(edge, 1), edge / 2, 2 * edge, 1], dtype=np.float32
    )
    values: NDArray[Any] = rng.choice(near, shape) * rng.choice(np.array([-1, 1], dtype=np.float32), shape)
    return values


@cache
def _bundled_codes() -> NDArray[np.int8]:
    """All codes of the bundled model's first down projection, flat."""
    from bitparity.model import open_model
    from bitparity.model.bundled import bundled_model

    tensor = open_model(bundled_model()).weights.layers[0]["down"]
    return np.sign(tensor.values()).astype(np.int8).reshape(-1)


def _trained(rng: Generator, shape: Shape) -> NDArray[Any]:
    """A piece of the bundled trained model, from anywhere in it."""
    codes = np.roll(_bundled_codes(), -int(rng.integers(1 << 16)))
    return np.resize(codes, shape).astype(np.float32)


def _magnitudes(rng: Generator, shape: Shape) -> NDArray[Any]:
    values: NDArray[Any] = (_gaussian(rng, shape) * np.exp2(rng.integers(-40, 40, shape))).astype(np.float32)
    return values


def _constant(value: float) -> Recipe:
    return lambda rng, shape: np.full(shape, value, dtype=np.float32)


WEIGHT_RECIPES: dict[str, Recipe] = {
    "zeros": _constant(0),
    "plus": _constant(1),
    "minus": _constant(-1),
    "single": _single,
    "ternary": _ternary,
    "zero rows": _zero_rows,
    "signed zeros": _signed_zeros,
    "trained": _trained,
    "gaussian": _gaussian,
    "outlier": _outlier,
    "ties": _ties,
    "dead zone": _dead_zone,
    "magnitudes": _magnitudes,
}
TERNARY_RECIPES = ("zeros", "plus", "minus", "single", "ternary", "zero rows", "signed zeros", "trained")


def _heavy_tails(rng: Generator, shape: Shape) -> NDArray[Any]:
    """Codes much like those of trained models: heavy tails, scaled so that the largest of a row is 127."""
    values = rng.laplace(size=shape)
    codes: NDArray[Any] = np.rint(values * 127 / np.abs(values).max(axis=1, keepdims=True))
    return codes


ACTIVATION_RECIPES: dict[str, Recipe] = {
    "zeros": _constant(0),
    "127": _constant(127),
    "-127": _constant(-127),
    "-128": _constant(-128),
    "single": lambda rng, shape: _single(rng, shape) * np.float32(127),
    "extremes": lambda rng, shape: rng.choice(np.array([-128, -127, 127], dtype=np.float32), shape),
    "uniform": lambda rng, shape: rng.integers(-128, 128, shape).astype(np.float32),
    "heavy tails": _heavy_tails,
}
