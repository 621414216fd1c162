"""Every stage equals the reference's, bit for bit: the order of float sums is followed, not approximated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitparity.engine import Session
from bitparity.formats import DENSE, FLOATS, ROWS
from bitparity.oracle.arithmetic import ORDERS
from bitparity.pytest_plugin import require_engine
from bitparity.stages import StageFilter
from bitparity_native.engine import NativeEngine
from native.models import ModelOf

IDS = [int(t) for t in np.random.default_rng(0).integers(0, 512, 34)]
STEPS = 2
FORMATS = ("I2_S", "TQ1_0", "TQ2_0", "F16", "BF16", "F32")
IN_BLOCKS = [name for name in DENSE if name not in FLOATS and "bitnet.cpp" in ROWS[name].run_by]

CASES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("bitnet.cpp", {"arch": a, "weight_format": f})
        for a in ("bitnet", "bitnet-25", "llama")
        for f in FORMATS
    ),
    *(
        ("llama.cpp", {"arch": a, "weight_format": f})
        for a in ("bitnet", "llama", "qwen3", "gemma3")
        for f in FORMATS
        if f != "I2_S"
    ),
    ("llama.cpp", {"arch": "qwen3", "weight_format": "TQ2_0", "key_length": 128}),
    ("llama.cpp", {"arch": "gemma3", "weight_format": "TQ2_0", "key_length": 128, "n_head_kv": 1}),
    ("llama.cpp", {"arch": "gemma3", "weight_format": "TQ2_0", "n_layer": 7, "sliding_window": 16}),
    (
        "llama.cpp",
        {"arch": "gemma3", "weight_format": "TQ2_0", "n_layer": 62, "n_ff": 256, "key_length": 128},
    ),
    *(
        (reference, {"arch": "llama", "weight_format": "TQ2_0", "rope_factor": 4.0, **fields})
        for reference in ("bitnet.cpp", "llama.cpp")
        for fields in (
            {"rope_scaling": "linear"},
            {"rope_scaling": "yarn", "original_context": 16},
            {"rope_scaling": "yarn", "original_context": 256, "rope_base": 500000.0},
        )
    ),
    *(
        (reference, fields)
        for reference in ("bitnet.cpp", "llama.cpp")
        for fields in (
            {"weight_format": "TQ2_0", "n_head": 1, "n_head_kv": 1},
            {"weight_format": "TQ2_0", "n_head": 8, "n_head_kv": 1, "n_vocab": 515},
            {"weight_format": "F16", "head_format": "BF16"},
            {"weight_format": "F16", "head_format": "F32"},
            {"weight_format": "F16", "n_embd": 264, "n_head": 3, "n_head_kv": 3, "n_ff": 520},
            {"weight_format": "F32", "n_embd": 300, "n_head": 3, "n_head_kv": 3, "n_ff": 628},
            {"weight_format": "BF16", "n_embd": 312, "n_head": 3, "n_head_kv": 3, "n_ff": 524},
        )
    ),
    # As tied heads, as heads of their own with projections, and as projections of odd rows.
    *(
        (reference, fields | {"weight_format": "TQ2_0" if reference == "llama.cpp" else "I2_S"})
        for reference in ("bitnet.cpp", "llama.cpp")
        for fields in ({"head_format": f, "n_vocab": 515 if f == "Q3_K" else 512} for f in IN_BLOCKS)
    ),
    *(
        (reference, {"arch": "llama", "weight_format": f, "head_format": f, "tied": False})
        for reference in ("bitnet.cpp", "llama.cpp")
        for f in IN_BLOCKS
    ),
    *(
        ("llama.cpp", {"arch": "llama", "weight_format": f, "head_format": h, "tied": tied})
        for f, h in (("Q1_0", "Q1_0"), ("Q2_0", "Q2_0"))
        for tied in (False, True)
    ),
    *(
        (reference, {"weight_format": f, "n_embd": 288, "n_head": 3, "n_head_kv": 1, "n_ff": 576})
        for reference in ("bitnet.cpp", "llama.cpp")
        for f in ("Q4_0", "Q4_1")
    ),
]


def record(session: Session) -> dict[tuple[int, str, int], np.ndarray]:
    values = {}
    with session.tap(
        StageFilter.parse("*:*"),
        lambda v: values.update({(v.layer, v.stage, v.position): np.array(v.values)}),
    ):
        session.prefill(IDS[:25])  # tiles in every format, whole fours and one token more in Q4_K
        session.prefill(IDS[25:-STEPS])  # fewer tokens than K-quants have tiles for
        for token in IDS[-STEPS:]:
            session.decode(token)
    return values


@pytest.mark.parametrize(
    ("reference", "fields"),
    CASES,
    ids=lambda case: case if isinstance(case, str) else "-".join(map(str, case.values())),
)
def test_every_stage_equals_the_reference_to_the_bit(
    model_of: ModelOf, reference: str, fields: dict[str, object], pytestconfig: pytest.Config
) -> None:
    """In the arithmetic that the reference's build reports of itself, whatever CPU it was built for."""
    path = model_of(**fields)
    session = require_engine(pytestconfig, reference).open(path, context=64, threads=1)
    arithmetic = session.info.fingerprint.details["arithmetic"]
    if not set(ORDERS).intersection(arithmetic.split("/")):
        pytest.skip(f"no order of sums is known of a {reference} built for {session.info.fingerprint.isa}")
    expected = record(session)
    session.close()
    actual = record(NativeEngine(arithmetic=arithmetic).open(path, context=64, threads=1))
    assert expected
    unequal = [key for key, value in expected.items() if value.tobytes() != actual[key].tobytes()]
    assert not unequal, f"{len(unequal)} of {len(expected)} differ, first {unequal[0]}"
