"""Weight formats: a file with a class for each, and a row for each in the table below.

A new format is a class with the methods of base.WeightFormat (or base.TernaryFormat) and one row; what the
harness knows of formats is read from the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from bitparity.errors import BadInput
from bitparity.formats.base import TernaryFormat, WeightFormat
from bitparity.formats.bf16 import BF16
from bitparity.formats.blocks import FloatFormat
from bitparity.formats.codes import CODES
from bitparity.formats.f16 import F16
from bitparity.formats.f32 import F32
from bitparity.formats.i2_s import I2_S
from bitparity.formats.i2_s_arm import I2_S_ARM
from bitparity.formats.i2_s_sequential import I2_S_SEQUENTIAL
from bitparity.formats.i2_s_x4 import I2_S_X4
from bitparity.formats.i8_s import I8_S
from bitparity.formats.ik_rows import IQ1_BN, IQ2_BN
from bitparity.formats.q1_0 import Q1_0
from bitparity.formats.q2_0 import Q2_0, Q2_0_G128
from bitparity.formats.q3_k import Q3_K
from bitparity.formats.q4_0 import Q4_0
from bitparity.formats.q4_1 import Q4_1
from bitparity.formats.q4_k import Q4_K
from bitparity.formats.q5_0 import Q5_0
from bitparity.formats.q6_k import Q6_K
from bitparity.formats.q8_0 import Q8_0
from bitparity.formats.q8_1 import Q8_1
from bitparity.formats.q8_k import Q8_K
from bitparity.formats.qk256 import QK256
from bitparity.formats.table_lookup import TableLookupFormat, Tilings
from bitparity.formats.tl1 import TL1
from bitparity.formats.tl2 import TL2
from bitparity.formats.tq1_0 import TQ1_0
from bitparity.formats.tq2_0 import TQ2_0

GUESSED = 1024  # general.file_type of a file whose main format has no number of its own


@dataclass(frozen=True)
class Row:
    """What is known of a weight format besides its packing.

    file_type    general.file_type of a file whose projections have it: enum llama_ftype of llama.cpp's
                 llama.h, and of bitnet.cpp's for I2_S, TL1 and TL2
    activations  the format in which a matmul takes its other operand; None for a format that no engine here
                 multiplies
    run_by       references that run models in it; native says itself for which formats it has kernels
    is_stored    files have tensors of it, with its type id; other formats can only be asked for by name
    has_heads    files have embeddings and heads in it although it is ternary
    """

    format: WeightFormat
    file_type: int = GUESSED
    activations: str | None = None
    run_by: tuple[str, ...] = ()
    is_stored: bool = True
    has_heads: bool = False


_BOTH = ("bitnet.cpp", "llama.cpp")
_TABLE = (
    Row(F32, file_type=0, activations="F32", run_by=_BOTH),
    Row(F16, file_type=1, activations="F16", run_by=_BOTH),
    Row(BF16, file_type=32, activations="BF16", run_by=_BOTH),
    Row(I2_S, file_type=40, activations="I8_S", run_by=("bitnet.cpp",)),
    Row(TQ1_0, file_type=36, activations="Q8_K", run_by=_BOTH),
    Row(TQ2_0, file_type=37, activations="Q8_K", run_by=_BOTH),
    Row(TL1, file_type=38, activations="I8_S"),  # run by builds of bitnet.cpp for the shapes at hand only
    Row(TL2, file_type=39, activations="I8_S"),
    Row(Q2_0, file_type=41, activations="Q8_0", run_by=("llama.cpp",), has_heads=True),
    Row(Q2_0_G128, activations="Q8_0", is_stored=False),  # under the type id of Q2_0
    Row(Q1_0, file_type=40, activations="Q8_0", run_by=("llama.cpp",)),
    Row(Q8_0, file_type=7, activations="Q8_0", run_by=_BOTH),
    Row(Q6_K, file_type=18, activations="Q8_K", run_by=_BOTH),
    Row(Q5_0, file_type=8, activations="Q8_0", run_by=_BOTH),
    Row(Q4_K, file_type=15, activations="Q8_K", run_by=_BOTH),
    Row(Q4_0, file_type=2, activations="Q8_0", run_by=_BOTH),
    Row(Q4_1, file_type=3, activations="Q8_1", run_by=_BOTH),
    Row(Q3_K, file_type=12, activations="Q8_K", run_by=_BOTH),
    Row(Q8_1, is_stored=False),  # in work buffers only, as I8_S
    Row(IQ2_BN),  # of ik_llama.cpp, whose arithmetic is not known
    Row(IQ1_BN),
    Row(Q8_K),
    Row(I8_S, is_stored=False),
    Row(CODES, activations="I8_S", is_stored=False),  # of checkpoints, in memory
    Row(I2_S_ARM, is_stored=False),  # these four read the bytes of an I2_S tensor in other ways
    Row(I2_S_SEQUENTIAL, is_stored=False),
    Row(I2_S_X4, is_stored=False),
    Row(QK256, is_stored=False),
)
ROWS = {row.format.name: row for row in _TABLE}
FORMATS: dict[str, WeightFormat] = {name: row.format for name, row in ROWS.items()}
_BY_TYPE = {row.format.ggml_type: row.format for row in _TABLE if row.is_stored}


def get_format(name: str) -> WeightFormat:
    """The format of that name; BadInput when there is none."""
    if name not in FORMATS:
        raise BadInput(f"no weight format is named {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def with_tilings(name: str, tilings: Tilings | None) -> WeightFormat:
    """The format of that name, for other kernels than bitnet.cpp's presets where it is TL1 or TL2."""
    weight_format = get_format(name)
    if tilings is None or not isinstance(weight_format, TableLookupFormat):
        return weight_format
    return type(weight_format)(tilings)


def format_of_type(ggml_type: int) -> WeightFormat | None:
    """The format that has this type id in a GGUF file, or None."""
    return _BY_TYPE.get(ggml_type)


def is_ternary(weight_format: WeightFormat) -> TypeGuard[TernaryFormat]:
    """Whether the format packs codes and scales without loss."""
    return hasattr(weight_format, "pack_codes")


def formats_run_by(engine: str) -> frozenset[str]:
    """The formats in which a reference runs models."""
    return frozenset(name for name, row in ROWS.items() if engine in row.run_by)


FLOATS = tuple(name for name in FORMATS if isinstance(FORMATS[name], FloatFormat))
TERNARY = tuple(name for name in FORMATS if is_ternary(FORMATS[name]))
MULTIPLIED = tuple(name for name, row in ROWS.items() if row.activations)
DENSE = tuple(name for name in MULTIPLIED if name not in TERNARY)
OF_HEADS = (*DENSE, *(name for name, row in ROWS.items() if row.has_heads))  # and of embeddings
ACTIVATIONS = {row.activations for row in _TABLE if row.activations}.difference(MULTIPLIED)
WRITTEN = tuple(name for name, row in ROWS.items() if row.is_stored and name not in ACTIVATIONS)
# Formats of a bundled model, in the order in which engines are asked to run them.  BitNet models are
# published in I2_S; llama.cpp does not run it, so the smallest that it runs is next; F16 is for engines
# without any ternary format.
MODEL_FORMATS = (*(name for name in TERNARY if name in MULTIPLIED and name in WRITTEN), "F16")
I2_S_LAYOUTS = tuple(name for name in TERNARY if FORMATS[name].ggml_type == I2_S.ggml_type)
