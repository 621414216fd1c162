"""The record of a comparison: what it takes from the result, and what of a failure is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.result import ComparisonResult
from bitparity.compare.run import compare_engines
from bitparity.engine import Floats
from bitparity.model import open_model
from bitparity.provenance import Provenance
from bitparity.records.columns import Record
from bitparity.records.of_result import with_provenance, with_result
from bitparity.settings import read_settings


def compared(path: Path, reference: Any, candidate: Any) -> ComparisonResult:
    model = open_model(path)
    sides = (Side(reference, model), Side(candidate, model))
    return compare_engines(
        Comparison(*sides, prompts=[Prompt(tokens=(1, 2, 3))], settings=read_settings({})), limit=1e-4
    )


def test_record_has_the_verdict_and_the_worst_of_the_positions(
    path_of: Callable[..., Path], fake_engine: Any
) -> None:
    def alter(position: int, row: Floats) -> Floats:
        return row * np.float32(-1 if position == 1 else 1)

    result = compared(path_of(arch="llama"), fake_engine(), fake_engine("altered", alter))
    record = with_result(Record(cell="00"), result)
    assert (record.outcome, record.exit_code, record.first_position) == ("diverged", 1, 1)
    assert (record.asked, record.compared, record.agree, record.diverged) == (3, 3, 2, 1)
    metrics = [row.metrics for row in result.positions]
    assert record.max_relative_l2 == metrics[1].relative_l2 == 2.0
    assert record.mean_kl == np.mean([m.kl for m in metrics])
    assert record.same_best == 2 / 3
    assert (record.reference_engine, record.candidate_engine) == ("fake", "altered")
    assert json.loads(record.result or "")["verdict"] == "diverged"


def test_record_of_a_crash_keeps_what_was_compared_before(
    path_of: Callable[..., Path], fake_engine: Any
) -> None:
    result = compared(path_of(arch="llama"), fake_engine(), fake_engine("crashing", fail_at=0))
    record = with_result(Record(cell="00"), result)
    assert (record.outcome, record.exit_code) == ("engine failed", 5)
    assert (record.asked, record.compared, record.max_kl) == (3, 0, None)


def test_record_tells_where_it_was_made() -> None:
    made = Provenance.now()
    record = with_provenance(Record(), made)
    assert (record.date, record.host, record.bitparity_version) == (made.date, made.host, made.version)
