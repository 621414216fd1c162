"""Deliberate faults change the stage that they are about, and nothing before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.engine import StageValue
from bitparity.faults.models import without_inner_norms
from bitparity.stages import StageFilter
from bitparity_native import _core
from bitparity_native.engine import NativeEngine
from native.models import ModelOf

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def first_difference(path: Path, engine: NativeEngine) -> tuple[int, str] | None:
    """Where a prefill and a decode step of this engine first part from a sound one's."""
    records: list[list[StageValue]] = []
    for each in (NativeEngine(), engine):
        values: list[StageValue] = []
        session = each.open(path, context=32, threads=1)
        with session.tap(StageFilter.parse("*:*"), values.append):
            session.prefill(IDS)
            session.decode(7)
        records.append(values)
    for sound, faulty in zip(*records, strict=True):
        if not np.array_equal(sound.values, faulty.values):
            return faulty.layer, faulty.stage
    return None


def altered(**hyper: Any) -> NativeEngine:
    return NativeEngine(alter=lambda model: replace(model, hyper=replace(model.hyper, **hyper)))


def faulty(**faults: Any) -> NativeEngine:
    return NativeEngine(faults=_core.Faults(**faults))


@pytest.mark.parametrize(
    ("engine", "place"),
    [
        (NativeEngine(), None),
        (faulty(), None),
        (altered(activation="silu"), (0, "ffn_act")),
        (altered(rope_pairs="norm"), (0, "q_rope")),
        (altered(norm_eps=1e-2), (0, "attn_norm")),
        (altered(rope_base=20000.0), (0, "q_rope")),
        (faulty(kv_head_shift=1), (0, "attn_probs")),
        (faulty(stale_kv_row=3), (0, "attn_probs")),
        (faulty(position_shift=1), (0, "q_rope")),
        (faulty(truncate_codes=True), (0, "q_proj")),
    ],
    ids=["none", "no faults", "activation", "pairs", "eps", "base", "kv head", "stale", "shift", "rounding"],
)
def test_fault_shows_first_in_its_own_stage(
    model_of: ModelOf, engine: NativeEngine, place: tuple[int, str] | None
) -> None:
    assert first_difference(model_of(arch="bitnet-b1.58"), engine) == place


def test_missing_sub_norm_leaves_the_stage_out(model_of: ModelOf) -> None:
    engine = NativeEngine(alter=without_inner_norms)
    session = engine.open(model_of(arch="bitnet-b1.58"), context=32, threads=1)
    stages: set[str] = set()
    with session.tap(StageFilter.parse("*:*"), lambda value: stages.add(value.stage)):
        session.prefill(IDS)
    assert not stages & {"attn_sub_norm", "ffn_sub_norm"}
