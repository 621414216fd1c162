"""Native against references that were built for any CPU, every stage to the bit, without those builds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitparity.model.bundled import bundled_model
from bitparity.oracle.arithmetic import ORDERS
from bitparity_native._core import kernels
from bitparity_native.engine import NativeEngine
from crossval.golden_stages import FOLDER, TOKENS, stage_digests

GOLDEN = sorted(FOLDER.glob("*.json"))
LARGEST = 1_000_000  # bytes of all of them: what a repository may carry


def every_case() -> Iterator[tuple[Path, str]]:
    """Every file with the best kernel set, and one of each arithmetic with each of the others.

    That all sets give the same bits is proved kernel by kernel (tests/native/test_kernels_*.py).
    """
    best, *others = [name for name, _, runs in kernels.kernel_sets() if runs]
    seen: set[str] = set()
    for path in GOLDEN:
        yield path, best
        arithmetic = json.loads(path.read_text())["arithmetic"]
        if arithmetic not in seen:
            seen.add(arithmetic)
            for other in others:
                yield path, other


@pytest.mark.parametrize(
    ("path", "kernel_set"),
    list(every_case()),
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_every_stage_equals_the_golden_digest(path: Path, kernel_set: str) -> None:
    golden = json.loads(path.read_text())
    engine = NativeEngine(arithmetic=golden["arithmetic"], kernels=kernel_set)
    model = bundled_model(golden["arch"], golden["weight_format"])
    session = engine.open(model, context=len(TOKENS), threads=1)
    actual, expected = stage_digests(session), golden["stages"]
    assert actual.keys() == expected.keys()
    unequal = {stage for stage in expected if actual[stage] != expected[stage]}
    assert not unequal, f"{len(unequal)} of {len(expected)} stages differ"


def test_golden_stages_cover_every_order_and_are_small() -> None:
    stated = [json.loads(path.read_text())["arithmetic"].split("/")[:2] for path in GOLDEN]
    assert {(generation, order) for generation, order in stated} == {
        (generation, order) for generation in ("bitnet.cpp", "llama.cpp") for order in ORDERS
    }
    assert sum(path.stat().st_size for path in GOLDEN) <= LARGEST
