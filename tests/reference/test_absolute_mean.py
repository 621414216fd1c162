"""The absmean rule is what bitnet.cpp's converters compute in torch, to the bit, given torch's own mean."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.formats.rules import SMALLEST_MEAN, absolute_mean
from bitparity.fuzz.cases import WEIGHT_RECIPES, WeightCase
from bitparity.pytest_plugin import missing_reference, require_engine
from bitparity.settings import read_settings

EPS = 2.0**-24  # half a unit in the last place of a float32 of size one
RULES = {
    "utils/convert-hf-to-gguf-bitnet.py": "weight_quant",  # a method
    "utils/convert-ms-to-gguf-bitnet.py": "forward_t",
    "utils/preprocess-huggingface-bitnet.py": "quant_weight_fp16",
}
MAGNITUDES = (1.0, 0.02, 3e-5, 1e-5, 1e-6, 2.0**-100, 1e6)
CASES = [
    WeightCase(rows, cols, recipe, magnitude, seed)
    for rows, cols in ((1, 7), (3, 128), (16, 256))
    for recipe in WEIGHT_RECIPES
    for magnitude in MAGNITUDES
    for seed in range(3)
]


def converters_rule(script: Path, name: str, torch: Any) -> Callable[[Any], Any]:
    """The function of that name, taken from the script unchanged; the script itself imports too much."""
    tree = ast.parse(script.read_text())
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
    names: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(body=[found], type_ignores=[]), str(script), "exec"), names)
    rule = names[name]
    return lambda weight: rule(None, weight) if found.args.args[0].arg == "self" else rule(weight)


def half_means(seed: int) -> np.ndarray:
    """Weights at half of the mean and one float to either side, where the rounding decides."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((4, 256), dtype=np.float32)
    half = np.abs(values).mean(dtype=np.float32) / np.float32(2)
    near = np.array([half, np.nextafter(half, np.float32(0)), np.nextafter(half, np.float32(1))])
    values[:, :128] = rng.choice(near, (4, 128)) * rng.choice(np.array([-1, 1], dtype=np.float32), (4, 128))
    values[:, 128:] *= (half * 2 * 1024 - np.abs(values[:, :128]).sum()) / np.abs(values[:, 128:]).sum()
    return values


@pytest.mark.parametrize("script", RULES)
def test_absolute_mean_is_the_rule_of_the_converter(script: str, pytestconfig: pytest.Config) -> None:
    require_engine(pytestconfig, "bitnet.cpp")
    path = Path(str(read_settings().bitnet_cpp_dir)) / script
    if not path.is_file():
        missing_reference(pytestconfig, "bitnet.cpp", f"BITNET_CPP_DIR names a tree without {script}")
    torch = pytest.importorskip("torch", reason="the converters compute in torch, which is not installed")
    rule = converters_rule(path, RULES[script], torch)
    ties = 0
    for values in [*(case.values() for case in CASES), *(half_means(seed) for seed in range(300))]:
        mean = torch.from_numpy(values).abs().mean().numpy()[()]
        codes, scale = absolute_mean(values, mean)
        expected = rule(torch.from_numpy(values)).numpy()
        assert np.array_equal(codes * np.float32(scale), expected)
        # any order of n additions of positive numbers and one division: n roundings in either mean
        ours = np.abs(values).mean(dtype=np.float32)
        assert abs(float(ours) - float(mean)) <= 2 * values.size * EPS * float(mean) + 2.0**-149
        ties += int((np.abs(np.abs(values) / max(mean, SMALLEST_MEAN) - 0.5) <= 4 * EPS).sum())
    assert ties > 10_000  # the inputs went where the rounding decides


def test_absolute_mean_multiplies_by_the_rounded_inverse() -> None:
    """One float above half of the mean, w / mean and w * (1 / mean) do not always round to the same side."""
    means = np.random.default_rng(0).uniform(0.5, 2, 100_000).astype(np.float32)
    weights = np.nextafter(means / np.float32(2), np.float32(2))
    quotients, products = weights / means, weights * (np.float32(1) / means)
    (where,) = np.nonzero(np.rint(quotients) != np.rint(products))
    assert where.size
    for weight, mean, product in zip(weights[where], means[where], products[where], strict=True):
        assert absolute_mean(np.array([[weight]]), mean)[0] == np.rint(product)
