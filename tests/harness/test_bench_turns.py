"""Engines and bandwidth take turns, the warm-up does not count, and seconds become rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bitparity.bench.lane import Lane, make_lanes, reference_of, weight_bytes
from bitparity.bench.run import Plan, Turns, measure
from bitparity.bench.samples import Samples
from bitparity.errors import BadInput, EngineFailed
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model

PLAN = Plan(prefill=(4,), depths=(0, 6), decode_tokens=2, repetitions=3)


@dataclass
class FakeTimer:
    """Takes the given seconds, call by call, and writes into a diary that all share."""

    name: str
    diary: list[str]
    seconds: list[float] = field(default_factory=lambda: [9.0, 1.0, 4.0, 2.0] * 4)

    def load(self) -> float:
        return self._take("load")

    def fingerprint(self) -> dict[str, Any]:
        return {"engine": self.name}

    def prefill(self, tokens: Sequence[int]) -> float:
        return self._take(f"prefill {len(tokens)}")

    def decode(self, tokens: Sequence[int], depth: int) -> float:
        return self._take(f"decode {len(tokens) - depth} at {depth}")

    def peak_memory(self) -> int | None:
        return 5000

    def _take(self, what: str) -> float:
        self.diary.append(f"{self.name} {what}")
        return self.seconds.pop(0)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    make_model(tmp_path / "m.gguf", ModelSpec(n_layer=1, context_length=64))
    return open_model(tmp_path / "m.gguf")


def make_turns(plan: Plan = PLAN) -> tuple[dict[str, FakeTimer], Turns, list[str], list[tuple[int, int]]]:
    diary: list[str] = []
    progress: list[tuple[int, int]] = []
    timers = {name: FakeTimer(name, diary) for name in "AB"}
    bandwidths = iter([1e9, 8e9, 2e9, 4e9] * 4)

    def bandwidth() -> float:
        diary.append("bandwidth")
        return next(bandwidths)

    turns = Turns(timers, bandwidth, plan, settle=0.0, progress=lambda *at: progress.append(at))
    return timers, turns, diary, progress


def test_lanes_take_turns_in_every_round() -> None:
    _, turns, diary, _ = make_turns()
    turns.prefill([1, 2, 3, 4])
    assert diary == ["A prefill 4", "B prefill 4"] * (PLAN.repetitions + 1)


def test_every_measurement_waits_for_the_one_before_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    _, turns, diary, _ = make_turns()
    monkeypatch.setattr("bitparity.bench.run.time.sleep", lambda seconds: diary.append("settle"))
    turns.decode([0] * 8, 6)
    assert diary[::2] == ["settle"] * 3 * (PLAN.repetitions + 1)
    assert diary[1:6:2] == ["A decode 2 at 6", "B decode 2 at 6", "bandwidth"]


def test_bandwidth_takes_its_turn_beside_decode() -> None:
    _, turns, diary, _ = make_turns()
    turns.decode([0] * 8, 6)
    assert diary == ["A decode 2 at 6", "B decode 2 at 6", "bandwidth"] * (PLAN.repetitions + 1)


def test_warm_up_is_not_counted() -> None:
    _, turns, _, _ = make_turns()
    assert turns.load() == dict.fromkeys("AB", Samples((1.0, 4.0, 2.0)))
    _, bandwidth = turns.decode([0] * 2, 0)
    assert bandwidth == Samples((8e9, 2e9, 4e9))


def test_rates_count_what_was_timed_alone() -> None:
    _, turns, _, _ = make_turns()
    assert turns.prefill([0] * 4)["A"] == Samples((4.0, 1.0, 2.0))
    rates, _ = turns.decode([0] * 8, 6)  # two tokens are decoded, six fill the cache
    assert rates["B"] == Samples((2.0, 0.5, 1.0))


def test_measure_gathers_the_whole_plan(model: Model, fake_engine: Any) -> None:
    timers, turns, _, progress = make_turns()
    lanes = [Lane(name, fake_engine(name=name), model) for name in "AB"]
    (first, second), failure = measure(lanes, timers, turns, PLAN, [0] * 8)
    assert failure is None
    assert (first.label, second.label) == ("A", "B")
    assert list(first.prefill_tokens_per_second) == [4]
    assert list(first.decode) == [0, 6]
    assert first.peak_memory == 5000
    decode = first.decode[6]
    assert decode.share == weight_bytes(model) * decode.tokens_per_second.median / 4e9
    assert progress[-1] == (16, 16)


def test_engine_that_fails_on_the_way_leaves_what_was_measured(model: Model, fake_engine: Any) -> None:
    timers, turns, _, _ = make_turns()

    def crash(tokens: Sequence[int], depth: int) -> float:
        if depth:
            raise EngineFailed("B", "aborted (SIGABRT)")
        return 1.0

    timers["B"].decode = crash  # type: ignore[method-assign]
    lanes = [Lane(name, fake_engine(name=name), model) for name in "AB"]
    measured, failure = measure(lanes, timers, turns, PLAN, [0] * 8)
    assert str(failure) == "B aborted (SIGABRT)"
    for lane in measured:
        assert lane.load_seconds == Samples((1.0, 4.0, 2.0))
        assert list(lane.prefill_tokens_per_second) == [4]
        assert list(lane.decode) == [0]
        assert lane.peak_memory is None


def test_engine_that_never_loads_leaves_nothing_to_report(model: Model, fake_engine: Any) -> None:
    timers, turns, _, _ = make_turns()
    timers["B"].seconds.clear()

    def crash() -> float:
        raise EngineFailed("B", "aborted (SIGABRT)")

    timers["B"].load = crash  # type: ignore[method-assign]
    lanes = [Lane(name, fake_engine(name=name), model) for name in "AB"]
    with pytest.raises(EngineFailed, match="B aborted"):
        measure(lanes, timers, turns, PLAN, [0] * 8)


def test_weights_of_a_token_are_all_but_the_embeddings_other_rows(tmp_path: Path) -> None:
    for tied in (True, False):
        make_model(tmp_path / "m.gguf", ModelSpec(n_layer=2, tied=tied, context_length=64))
        model = open_model(tmp_path / "m.gguf")
        every = sum(tensor.data.nbytes for tensor in model.tensors.values())
        embedding = model.weights.token_embd.data.nbytes
        row = embedding // model.hyper.n_vocab
        assert weight_bytes(model) == every + row - (0 if tied else embedding)


def test_plan_beyond_the_model_is_refused(model: Model, fake_engine: Any) -> None:
    lanes = [Lane("A", fake_engine(), model)]
    Plan((64,), (62,), 2, 1).check(lanes)
    with pytest.raises(BadInput, match="holds 64 positions and 65 are needed"):
        Plan((64,), (63,), 2, 1).check(lanes)
    with pytest.raises(BadInput, match="nothing to time"):
        Plan((), (), 2, 1).check(lanes)


def test_plan_repeats_the_text_to_fill_the_context() -> None:
    assert PLAN.tokens([5, 6, 7]) == [5, 6, 7, 5, 6, 7, 5, 6]


def test_lanes_of_one_engine_are_told_apart(model: Model, tmp_path: Path, fake_engine: Any) -> None:
    native, other = fake_engine(name="native"), fake_engine(name="other", role="reference")
    lanes = make_lanes([(native, model), (other, model)])
    assert [lane.label for lane in lanes] == ["native", "other"]
    assert reference_of(lanes).label == "other"
    for name, weight_format in (("n", "I2_S"), ("p", "TQ2_0")):
        spec = ModelSpec(n_layer=1, weight_format=weight_format, context_length=64)
        make_model(tmp_path / f"{name}.gguf", spec)
    same_format, other_format = open_model(tmp_path / "n.gguf"), open_model(tmp_path / "p.gguf")
    assert [lane.label for lane in make_lanes([(native, model), (native, other_format), (other, model)])] == [
        "native I2_S",
        "native TQ2_0",
        "other",
    ]
    lanes = make_lanes([(native, model), (native, same_format)])
    assert [lane.label for lane in lanes] == ["native m", "native n"]
    with pytest.raises(BadInput, match="native m would be timed twice"):
        make_lanes([(native, model), (native, model)])
