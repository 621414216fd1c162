"""TL1 and TL2 in native: the same integers as of I2_S, whatever tiles the weights were packed for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitparity.formats.table_lookup import Tiling, Tilings, kernel_config_of
from bitparity.model.convert import convert
from bitparity_native.engine import NativeEngine
from native.models import ModelOf
from native.test_against_oracle import check

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


# As in bitnet_b1_58-3B, whose rows of 8,640 columns are no whole blocks of I2_S.
WIDTHS = [(512, 1056), (576, 1024)]


@pytest.mark.parametrize(("n_embd", "n_ff"), WIDTHS)
@pytest.mark.parametrize("name", TILINGS)
def test_columns_that_fill_no_block_of_i2_s_are_multiplied_as_defined(
    model_of: ModelOf, tmp_path: Path, name: str, n_embd: int, n_ff: int
) -> None:
    tile = {"TL1": Tiling(32, 32, 32), "TL2": Tiling(32, 96, 32)}[name]
    shapes = [(n_embd, n_embd), (n_embd // 2, n_embd), (n_ff, n_embd), (n_embd, n_ff)]
    tilings = dict.fromkeys(shapes, tile)
    target = tmp_path / "model.gguf"
    convert(model_of(weight_format="F16", n_embd=n_embd, n_ff=n_ff), target, name, tilings=tilings)
    (tmp_path / "kernel_config.ini").write_text(kernel_config_of(tilings))
    check(target, "bitnet.cpp")
    one_by_one = {
        kernels: NativeEngine(arithmetic="bitnet.cpp", kernels=kernels)
        .open(target, context=16, threads=1)
        .prefill([1, 2, 3, 4, 5])
        for kernels in NativeEngine().choices()["kernels"]
        if kernels != "auto"
    }
    first, *others = one_by_one.values()
    assert all(np.array_equal(first, other) for other in others)
