"""TL1 and TL2 in native: the same integers as of I2_S, whatever tiles the weights were packed for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitparity.formats.table_lookup import Tiling, Tilings, kernel_config_of
from bitparity.model.convert import convert
from bitparity_native.engine import NativeEngine
from native.models import ModelOf

SHAPES = [(512, 512), (256, 512), (1024, 512), (512, 1024)]
TILINGS: dict[str, Tilings] = {
    "TL1": {shape: Tiling(256, 128, 32) for shape in SHAPES},
    "TL2": {shape: Tiling(256, 96, 32) for shape in SHAPES},
}


@pytest.mark.parametrize("name", TILINGS)
def test_logits_equal_those_of_i2_s_with_the_kernel_config_beside_the_file(
    model_of: ModelOf, tmp_path: Path, name: str
) -> None:
    source = model_of(n_embd=512, n_ff=1024)
    target = tmp_path / "model.gguf"
    convert(source, target, name, tilings=TILINGS[name])
    (tmp_path / "kernel_config.ini").write_text(kernel_config_of(TILINGS[name]))
    expected, actual = (
        NativeEngine(arithmetic="bitnet.cpp").open(path, context=16, threads=1).prefill([1, 2, 3])
        for path in (source, target)
    )
    assert np.array_equal(actual, expected)
