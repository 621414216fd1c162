"""The table of weight formats agrees with llama.cpp's own numbers, and with itself."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, LlamaFileType

from bitparity.errors import BadInput
from bitparity.formats import FLOATS, FORMATS, MULTIPLIED, ROWS, format_of_type, formats_run_by
from bitparity.model.tensor_types import require_storable

LLAMA_CPP = sorted(set(FORMATS) & set(GGMLQuantizationType.__members__))


@pytest.mark.parametrize("name", LLAMA_CPP)
def test_type_id_is_llama_cpps(name: str) -> None:
    assert FORMATS[name].ggml_type == GGMLQuantizationType[name]


@pytest.mark.parametrize(
    "name", [name for name in LLAMA_CPP if name not in ("Q8_1", "Q8_K")]
)  # of activations
def test_file_type_is_llama_cpps(name: str) -> None:
    names = (f"ALL_{name}", f"MOSTLY_{name}", f"MOSTLY_{name}_M")  # of mixtures of K-quants the middle one
    (expected,) = (LlamaFileType[each] for each in names if each in LlamaFileType.__members__)
    assert ROWS[name].file_type == expected


@pytest.mark.parametrize("name", FORMATS)
def test_stored_format_is_found_by_its_type_and_no_other_is_written(name: str) -> None:
    is_found = format_of_type(FORMATS[name].ggml_type) is FORMATS[name]
    assert is_found == ROWS[name].is_stored
    if not is_found:
        with pytest.raises(BadInput, match="no type of its own in GGUF files"):
            require_storable(name)


@pytest.mark.parametrize("name", FORMATS)
def test_row_names_activations_that_are_a_format_and_engines_that_are_references(name: str) -> None:
    row = ROWS[name]
    assert row.activations is None or row.activations in FORMATS
    assert (row.activations == name) == (name in (*FLOATS, "Q8_0"))
    assert set(row.run_by) <= {"bitnet.cpp", "llama.cpp"}
    assert not row.run_by or name in MULTIPLIED  # what a reference runs the oracle can judge


def test_llama_cpp_runs_no_i2_s() -> None:
    assert formats_run_by("bitnet.cpp") - formats_run_by("llama.cpp") == {"I2_S"}


HALF_SCALED = [name for name in FORMATS if FORMATS[name].scale_format == "F16"]


@pytest.mark.parametrize("name", HALF_SCALED)
def test_largest_weight_of_a_block_is_reach_scales_at_most(name: str) -> None:
    """So far it is where it stands alone; below 0 a format with leasts has a larger one."""
    weight_format = FORMATS[name]
    largest = []
    for sign in (1, -1):
        values = np.zeros((1, weight_format.block), np.float32)
        values[0, 3] = sign
        scales = weight_format.scales_in(weight_format.pack(values), 1, weight_format.block)
        largest.append(np.abs(scales.astype(np.float64)).max())
    assert largest[0] * weight_format.reach == pytest.approx(1, rel=2**-10)  # as F16 rounds
    assert largest[1] >= largest[0]
