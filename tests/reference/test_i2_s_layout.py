"""Which I2_S layout a build writes: told from its bytes, since nothing else tells it."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from bitparity.formats.base import Bytes, Floats
from bitparity.fuzz.cases import DEFINITIONS
from bitparity.settings import read_settings
from bitparity_reference.i2_s_layout import WRITTEN_BY_BUILDS, i2_s_operations, layout_written
from bitparity_reference.implementations import bitnet_cpp


@pytest.mark.parametrize("layout", WRITTEN_BY_BUILDS)
def test_layout_is_told_from_what_a_build_writes(layout: str) -> None:
    def pack(values: Floats) -> Bytes:
        packed = DEFINITIONS[layout].pack(values)
        packed[-28:] = 0xA5  # as bitnet.cpp leaves it: whatever lay in the buffer
        return packed

    assert layout_written(pack) == layout
    operations = i2_s_operations(layout)
    assert [name for operation, name in operations if operation == "pack"] == [layout]
    assert ("multiply", layout) in operations


def test_build_that_writes_no_known_layout_is_searched_as_x86() -> None:
    assert layout_written(lambda values: np.zeros(values.size // 4 + 32, dtype=np.uint8)) == "I2_S"


def test_layout_of_other_converters_is_no_layout_of_a_build() -> None:
    assert layout_written(DEFINITIONS["I2_S_SEQ"].pack) == "I2_S"


def test_arm_build_is_not_asked_for_products_that_its_kernels_leave_empty() -> None:
    multiplied = [name for operation, name in i2_s_operations("I2_S_ARM") if operation == "multiply"]
    assert multiplied == ["I2_S_ARM"]


@pytest.mark.usefixtures("bitnet_cpp")
def test_bitnet_cpp_of_this_machine_has_operations_for_one_layout_alone() -> None:
    found = bitnet_cpp(read_settings())
    try:
        written = [name for name in WRITTEN_BY_BUILDS if found[0].has("pack", name)]
        arm = platform.machine().lower() in ("aarch64", "arm64")
        assert len(written) == 1
        assert (written == ["I2_S_ARM"]) is arm
    finally:
        for implementation in found:
            implementation.close()
