"""TL1 and TL2 of real weight shapes and whole files, made by bitnet.cpp's own converter and file writer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.formats import get_format, is_ternary
from bitparity.formats.table_lookup import TL1_TILINGS, TL2_TILINGS
from bitparity.fuzz.implementations import Implementation, pick
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.convert import convert
from bitparity.model.types import Model
from bitparity.model.verify import verify_weights
from bitparity.pytest_plugin import missing_reference, require_engine
from bitparity.settings import read_settings
from bitparity_reference.converters import SCRIPT, Converter
from bitparity_reference.implementations import Workshop, bitnet_cpp
from harness.tilings import TILINGS

LARGEST = 7_000_000  # weights; larger shapes take seconds each
SHAPES = [
    (name, shape)
    for name, tilings in (("TL1", TL1_TILINGS), ("TL2", TL2_TILINGS))
    for shape in tilings
    if shape[0] * shape[1] <= LARGEST
]


@pytest.fixture(scope="module")
def script(pytestconfig: pytest.Config) -> Path:
    require_engine(pytestconfig, "bitnet.cpp")
    found = Path(str(read_settings().bitnet_cpp_dir)) / SCRIPT
    if not found.is_file():
        missing_reference(pytestconfig, "bitnet.cpp", f"BITNET_CPP_DIR names a tree without {SCRIPT}")
    return found


@pytest.fixture(scope="module")
def converter(script: Path) -> Iterator[Implementation]:
    found = bitnet_cpp(read_settings())
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


WRITER = Path(__file__).with_name("write_with_fork.py")


def converter_file(name: str, model: Model, script: Path, folder: Path) -> Path:
    """The model in TL1 or TL2: packed by the converter's functions, written by its writer."""
    workshop = Workshop("converter", Converter, {"script": script, "tilings": TILINGS})
    arrays: dict[str, Any] = {"order": json.dumps(list(model.tensors))}
    for tensor in model.tensors.values():
        if is_ternary(get_format(tensor.format)):
            packed = workshop.call("pack", name, tensor.values())
            used = packed[:-32] if name == "TL1" else packed[: _tl2_bytes(*tensor.shape)]
            arrays[f"{tensor.name} packed"], arrays[f"{tensor.name} shape"] = used, tensor.shape
            arrays[f"{tensor.name} scale"] = packed[-32:-28].view("<f4")[0]
        else:
            arrays[tensor.name] = tensor.values().astype(np.float16 if tensor.format == "F16" else np.float32)
    workshop.close()
    np.savez(folder / "arrays.npz", **arrays)
    plain = {k: v if isinstance(v, (str, bool, int, float)) else list(v) for k, v in model.metadata.items()}
    (folder / "metadata.json").write_text(json.dumps(plain, default=int))
    package = str(script.parent.parent / "3rdparty/llama.cpp/gguf-py")
    files = [str(folder / file) for file in ("metadata.json", "arrays.npz")]
    target = folder / f"{name}.gguf"
    subprocess.run([sys.executable, str(WRITER), package, *files, name, str(target)], check=True)
    return target


def _tl2_bytes(rows: int, cols: int) -> int:
    """What the converter packs, before the writer pads it."""
    return (cols - 256) * rows // 3 * 5 // 8 + 256 * rows // 2 * 4 // 8


@pytest.mark.parametrize("name", ["TL1", "TL2"])
def test_file_of_the_converter_holds_the_weights_of_the_trained_model(
    script: Path, name: str, tmp_path: Path
) -> None:
    expected = open_model(bundled_model(weight_format="I2_S"))
    path = converter_file(name, expected, script, tmp_path)
    found = verify_weights(expected, open_model(path, tilings=TILINGS[name]))
    assert found.is_same, found.differences[:1]
    assert found.tensors == len(expected.tensors)
    ours = tmp_path / "ours.gguf"
    convert(expected.path, ours, name, tilings=TILINGS[name])
    theirs, written = (open_model(file).tensors for file in (path, ours))
    assert [t for t in theirs if not np.array_equal(theirs[t].data, written[t].data)] == []
