"""Engines whose outputs do not agree are not timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitparity.bench import run
from bitparity.bench.agreement import POSITIONS, OutputsDisagree, require_agreement
from bitparity.bench.lane import Lane
from bitparity.bench.run import Plan, bench
from bitparity.engine import Floats
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.settings import read_settings

TOKENS = list(range(40))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "m.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return open_model(path)


def wrong_at(position: int) -> Callable[[int, Floats], Floats]:
    return lambda at, row: -row if at == position else row


def nan_at(position: int) -> Callable[[int, Floats], Floats]:
    return lambda at, row: row * np.float32(np.nan) if at == position else row


def lanes_of(model: Model, fake_engine: Any, **fault: Any) -> list[Lane]:
    engines = [fake_engine(name="native", **fault), fake_engine(name="reference", role="reference")]
    return [Lane(engine.name, engine, model) for engine in engines]


def test_equal_outputs_are_told_in_a_sentence(model: Model, fake_engine: Any) -> None:
    said = require_agreement(lanes_of(model, fake_engine), TOKENS, settings=read_settings()).sentences
    assert said == {"native": f"native and reference agree at all {POSITIONS} positions"}


def test_engine_is_timed_in_the_arithmetic_that_it_was_compared_in(model: Model, fake_engine: Any) -> None:
    lanes = lanes_of(model, fake_engine)
    follower = fake_engine(name="native")
    native: Any = lanes[0].engine
    native.following = lambda reference: follower if reference.engine == "reference" else None
    agreement = require_agreement(lanes, TOKENS, settings=read_settings())
    assert [lane.engine for lane in agreement.lanes] == [follower, lanes[1].engine]


def test_single_lane_is_compared_with_nothing(model: Model, fake_engine: Any) -> None:
    assert (
        require_agreement(lanes_of(model, fake_engine)[:1], TOKENS, settings=read_settings()).sentences == {}
    )


@pytest.mark.parametrize("position", [0, 7, POSITIONS - 1])
def test_one_wrong_position_is_refused(position: int, model: Model, fake_engine: Any) -> None:
    lanes = lanes_of(model, fake_engine, alter=wrong_at(position))
    with pytest.raises(
        OutputsDisagree, match=f"nothing was timed.*the first is position {position}"
    ) as caught:
        require_agreement(lanes, TOKENS, settings=read_settings())
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("fault", "exit_code"), [({"alter": nan_at(3)}, 5), ({"fail_at": 3}, 5)], ids=["nan", "crash"]
)
def test_engine_that_fails_is_refused_with_its_own_exit_code(
    fault: dict[str, Any], exit_code: int, model: Model, fake_engine: Any
) -> None:
    with pytest.raises(OutputsDisagree) as caught:
        require_agreement(lanes_of(model, fake_engine, **fault), TOKENS, settings=read_settings())
    assert caught.value.exit_code == exit_code


def test_bench_starts_no_clock_when_outputs_disagree(
    model: Model, fake_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(run, "ChildTimer", lambda *arguments, **options: started.append(arguments))
    lanes = lanes_of(model, fake_engine, alter=wrong_at(2))
    with pytest.raises(OutputsDisagree):
        bench(lanes, Plan((4,), (), 1, 1), TOKENS, settings=read_settings())
    assert started == []
