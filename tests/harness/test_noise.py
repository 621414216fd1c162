"""The noise floor: what the reference does with itself is measured, pooled, kept, and doubted if need be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.compare.metrics import compare_logits, relative_l2
from bitparity.engine import Availability, Fingerprint, ModelInfo, Perturbable, Role, Sink, StageValue
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.noise.criterion import MULTIPLE, MeasuredNoise
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison, pool
from bitparity.noise.measure import DECODED, MIN_SAMPLE, SAMPLE, SHORT, measure_noise, stage_noise
from bitparity.noise.perturb import STEPS, move, with_norms_moved, write_perturbed
from bitparity.noise.verdict import Verdict, judge_position
from bitparity.registry import get_engine
from bitparity.runs import open_session
from bitparity.settings import Settings, read_settings
from bitparity.stages import StageFilter
from bitparity.trace import MemoryTrace

N_VOCAB = 64
Deviation = Callable[["FakeSession", int, bool], float]


def logits_at(position: int) -> np.ndarray:
    return np.random.default_rng(position).standard_normal(N_VOCAB).astype(np.float32)


@dataclass
class FakeSession:
    """Logits are a function of the position, times 1 + what `deviation` says of a row."""

    deviation: Deviation
    threads: int
    is_perturbed: bool
    position: int = 0
    sink: Sink | None = None

    @property
    def info(self) -> ModelInfo:
        fingerprint = Fingerprint("fake", "1", "", "", "", self.threads, "f16")
        return ModelInfo("bitnet", N_VOCAB, 2, 8, 1, 1, 8, 512, {}, True, fingerprint)

    def rollback(self, to: int) -> None:
        self.position = to

    def tap(self, stages: StageFilter, sink: Sink) -> AbstractContextManager[None]:
        self.sink = sink
        return nullcontext()

    def close(self) -> None: ...

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        raise NotImplementedError

    def detokenize(self, ids: Sequence[int]) -> str:
        raise NotImplementedError

    def prefill(self, tokens: Sequence[int], *, logits: str = "all") -> np.ndarray:
        return np.stack([self._row(batched=True) for _ in tokens])

    def decode(self, token: int) -> np.ndarray:
        return self._row(batched=False)

    def _row(self, *, batched: bool) -> np.ndarray:
        row = logits_at(self.position)
        row[0] += np.float32(self.deviation(self, self.position, batched)) * np.linalg.norm(row)
        if self.sink:
            self.sink(StageValue(-1, "logits", self.position, 0, row[None]))
        self.position += 1
        return row


class FakeEngine:
    name = "fake"
    role: Role = "reference"

    def __init__(self, model: Model, deviation: Deviation) -> None:
        self.model, self.deviation, self.opened = model, deviation, 0

    def availability(self) -> Availability:
        return Availability(True, "a fake")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        return None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> FakeSession:
        self.opened += 1
        return FakeSession(self.deviation, threads, model != self.model.path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec())
    return open_model(path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"BITPARITY_CACHE_DIR": str(tmp_path)})


def measure(
    model: Model, settings: Settings, deviation: Deviation, n: int = 40, **options: Any
) -> NoiseFloor:
    return measure_with(FakeEngine(model, deviation), model, settings, n, **options)


def measure_with(
    engine: FakeEngine, model: Model, settings: Settings, n: int, threads: int = 2, **options: Any
) -> NoiseFloor:
    with open_session(engine, model, context=64, settings=settings, threads=threads) as session:
        return measure_noise(session, engine, model, range(n), settings=settings, threads=threads, **options)


def like_bitnet_cpp(session: FakeSession, position: int, batched: bool) -> float:
    """Decode is off by 3 % from position 1 on, and rounding matters as much."""
    return 0.03 * ((not batched) + session.is_perturbed) * (position > 0)


def test_long_prompt_costs_a_bounded_number_of_positions(model: Model, settings: Settings) -> None:
    """However many tokens there are; progress is told after each run."""
    seen: list[tuple[int, int]] = []
    engine = FakeEngine(model, like_bitnet_cpp)
    with open_session(engine, model, context=512, settings=settings, threads=2) as session:
        floor = measure_noise(
            session,
            engine,
            model,
            [i % N_VOCAB for i in range(500)],
            settings=settings,
            threads=2,
            progress=lambda done, total: seen.append((done, total)),
        )
    counts = [len(c.positions) for c in floor.comparisons]
    assert counts == [SHORT, DECODED, SHORT, SHORT, SAMPLE]
    assert seen == [(done, 6) for done in range(1, 7)]


class PerturbableEngine(FakeEngine):
    """Moves its norms itself; no copy of the file is made for it."""

    def perturbed(self, seed: int) -> FakeEngine:
        return FakeEngine(replace(self.model, path=Path("nothing")), self.deviation)


def test_engine_that_moves_its_norms_itself_needs_no_copy_of_the_file(
    model: Model, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitparity.noise.perturb.write_perturbed", None)
    floor = measure_with(PerturbableEngine(model, like_bitnet_cpp), model, settings, 40)
    assert floor.component("rounding").relative_l2 == pytest.approx(0.03, rel=1e-2)


@pytest.mark.parametrize("engine", ["oracle", "native"])
def test_perturbed_engine_differs_by_little_more_than_rounding(
    model: Model, settings: Settings, engine: str
) -> None:
    sound = get_engine(engine)
    assert isinstance(sound, Perturbable)
    rows = []
    for each in (sound, sound.perturbed(0), sound.perturbed(0), sound.perturbed(1)):
        with open_session(each, model, context=8, settings=settings, threads=1) as session:
            rows.append(session.prefill([1, 2, 3]))
    assert 1e-8 < relative_l2(rows[0], rows[1]) < 0.1
    assert (rows[1] == rows[2]).all()
    assert (rows[1] != rows[3]).any()


def test_norms_that_are_moved_in_memory_are_those_of_every_block_and_the_last(model: Model) -> None:
    moved = with_norms_moved(model, 0).weights
    pairs = [(moved.output_norm, model.weights.output_norm)]
    for layer, before in zip(moved.layers, model.weights.layers, strict=True):
        pairs += [(layer[role], before[role]) for role in before if len(before[role].shape) == 1]
    for tensor, sound in pairs:
        assert (tensor.values() != sound.values()).all()
        np.testing.assert_allclose(tensor.values(), sound.values(), rtol=STEPS * 2**-23)
    assert moved.layers[0]["q"] is model.weights.layers[0]["q"]


def test_floor_is_the_largest_over_positions_and_comparisons(model: Model, settings: Settings) -> None:
    floor = measure(model, settings, like_bitnet_cpp)
    names = [c.name for c in floor.comparisons if c.kind == "self"]
    assert names == ["again", "prefill against decode", "prefill against chunks of 7", "2 threads against 1"]
    own = [c.levels.relative_l2 for c in floor.comparisons if c.kind == "self"]
    assert own == pytest.approx([0, 0.03, 0, 0], rel=1e-5)  # float32 logits
    rounding = floor.component("rounding").relative_l2
    assert rounding == pytest.approx(0.03, rel=1e-2)  # against a norm that is up to 1.03 times as long
    assert floor.relative_l2 == max(*own, rounding)
    assert floor.at(0) == Levels()
    assert floor.suspect is None


def test_reference_against_itself_is_noise_and_a_fault_diverges(model: Model, settings: Settings) -> None:
    criterion = MeasuredNoise(measure(model, settings, like_bitnet_cpp))
    expected = logits_at(5)
    for deviation, verdict in ((0.0, Verdict.AGREE), (0.03, Verdict.NOISE), (0.1, Verdict.DIVERGED)):
        actual = expected.copy()
        actual[0] += deviation * np.linalg.norm(expected)
        assert judge_position(compare_logits(expected, actual), criterion).verdict is verdict


def test_thread_count_that_changes_the_result_is_measured(model: Model, settings: Settings) -> None:
    floor = measure(model, settings, lambda s, p, b: 0.01 * (s.threads == 1) + 0.01 * s.is_perturbed)
    assert next(c for c in floor.comparisons if "threads" in c.name).levels.relative_l2 == pytest.approx(0.01)


def test_one_thread_is_not_compared_with_one_thread(model: Model, settings: Settings) -> None:
    engine = FakeEngine(model, like_bitnet_cpp)
    floor = measure_with(engine, model, settings, 40, threads=1)
    assert not any("threads" in c.name for c in floor.comparisons)


def test_few_tokens_are_measured_over_enough_positions(model: Model, settings: Settings) -> None:
    floor = measure(model, settings, like_bitnet_cpp, n=1)
    assert {c.name: len(c.positions) for c in floor.comparisons} == {
        "again": SHORT,
        "prefill against decode": DECODED,
        "prefill against chunks of 7": SHORT,
        "2 threads against 1": SHORT,
        "norms moved by 4 float32 steps, seed 0": MIN_SAMPLE,
        "norms moved by 4 float32 steps, seed 1": MIN_SAMPLE,
    }
    assert floor.relative_l2 > 0.02


def test_second_measurement_is_read_from_the_cache(model: Model, settings: Settings) -> None:
    engine = FakeEngine(model, like_bitnet_cpp)
    first = measure_with(engine, model, settings, 40)
    opened = engine.opened
    assert measure_with(engine, model, settings, 40) == first
    assert engine.opened == opened + 1  # the session that tells the fingerprint
    measure_with(engine, model, settings, 41)
    measure_with(engine, model, settings, 40, threads=1)
    assert engine.opened > opened + 4


def test_decode_that_contradicts_prefill_makes_the_reference_suspect(
    model: Model, settings: Settings
) -> None:
    def wrong_decode(session: FakeSession, position: int, batched: bool) -> float:
        return 0.1 * (not batched) + 0.01 * session.is_perturbed

    floor = measure(model, settings, wrong_decode)
    assert "differs from itself (prefill against decode)" in str(floor.suspect)


def test_reference_that_is_exact_but_for_float32_sums_is_not_suspect(
    model: Model, settings: Settings
) -> None:
    assert measure(model, settings, lambda s, p, batched: 3e-6 * (not batched)).suspect is None


def test_noise_of_the_size_of_faults_makes_the_reference_suspect(model: Model, settings: Settings) -> None:
    floor = measure(model, settings, lambda s, p, b: 0.4 * s.is_perturbed)
    assert "rounding alone moves the logits" in str(floor.suspect)


def test_nan_makes_the_reference_suspect_also_from_the_cache(model: Model, settings: Settings) -> None:
    def breaks(session: FakeSession, position: int, batched: bool) -> float:
        return math.nan if position == 3 and not batched else 0.0

    for _ in range(2):
        floor = measure(model, settings, breaks)
        assert "NaN" in str(floor.suspect)
        assert not floor.relative_l2 <= 1


def test_overturned_best_token_is_listed_with_its_lead(model: Model, settings: Settings) -> None:
    floor = measure(model, settings, lambda s, p, batched: 5.0 * (not batched and p == 2))
    flips = next(c for c in floor.comparisons if "decode" in c.name and c.kind == "self").flips
    assert set(flips) == {2}
    assert flips[2] == pytest.approx(float(logits_at(2).max() - logits_at(2)[0]))


def test_stages_are_measured_when_asked(model: Model, settings: Settings) -> None:
    floor = measure(model, settings, like_bitnet_cpp, stages=StageFilter.parse("-1:logits"))
    assert floor.stages == {"logits": pytest.approx(floor.relative_l2)}
    assert measure(model, settings, like_bitnet_cpp).stages == {}


def test_stage_noise_compares_only_what_both_recorded() -> None:
    expected, actual = MemoryTrace("a"), MemoryTrace("b")
    values = np.ones((2, 4), np.float32)
    expected(StageValue(0, "ffn_out", 0, 0, values))
    actual(StageValue(0, "ffn_out", 0, 1, values[:1] * np.float32(1.5)))
    assert stage_noise(expected, actual) == {"ffn_out": 0.5}


def test_floors_of_several_prompts_are_pooled() -> None:
    floors = [
        NoiseFloor("x", (SelfComparison("self", "again", (Levels(size),), {}),)) for size in (0.1, 0.3, 0.2)
    ]
    assert pool(floors).relative_l2 == 0.3


def test_largest_of_nan_is_nan() -> None:
    assert math.isnan(Levels(math.nan).or_larger(Levels(1.0)).relative_l2)
    assert math.isnan(Levels(1.0).or_larger(Levels(math.nan)).relative_l2)


def test_suspicion_begins_at_the_multiple_of_rounding() -> None:
    def floor(own: float) -> NoiseFloor:
        comparisons = (
            SelfComparison("self", "again", (Levels(own),), {}),
            SelfComparison("rounding", "seed 0", (Levels(0.01),), {}),
        )
        return NoiseFloor("x", comparisons)

    assert floor(0.999 * MULTIPLE * 0.01).suspect is None
    assert floor(1.001 * MULTIPLE * 0.01).suspect


def test_perturbed_model_differs_in_its_norms_only(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "perturbed.gguf"
    n_moved = write_perturbed(model, path, seed=0)
    other = open_model(path)
    different = {n for n, t in model.tensors.items() if not np.array_equal(t.data, other.tensors[n].data)}
    assert different == {n for n in model.tensors if "norm" in n}
    assert n_moved == sum(model.tensors[n].shape[0] for n in different)
    for name in different:
        np.testing.assert_allclose(
            other.tensors[name].values(), model.tensors[name].values(), rtol=STEPS * 2**-23
        )


def test_move_goes_both_ways_and_leaves_what_has_no_neighbour() -> None:
    values = np.array([1.0, -2.0, 0.0, np.inf, np.nan, 1e-45, np.finfo(np.float32).max] * 50, np.float32)
    moved = move(values, np.random.default_rng(0)).reshape(-1, 7)
    assert set(np.abs(moved[:, 0].view(np.int32) - np.float32(1).view(np.int32))) == {STEPS}
    assert {m > 1 for m in moved[:, 0]} == {True, False}
    assert (moved[:, 2] == 0).all()
    assert np.isinf(moved[:, 3]).all()
    assert np.isnan(moved[:, 4]).all()
    assert np.isfinite(moved[:, 6]).all()


def test_model_without_norms_to_move_is_refused(model: Model, tmp_path: Path) -> None:
    bare = replace(model, tensors={n: t for n, t in model.tensors.items() if "norm" not in n})
    with pytest.raises(BadInput, match="no F32 norm weights"):
        write_perturbed(bare, tmp_path / "x.gguf", 0)


def test_cache_that_cannot_be_written_costs_no_measurement(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = read_settings({"BITPARITY_CACHE_DIR": str(tmp_path / "file")})
    assert measure(model, settings, like_bitnet_cpp).relative_l2 > 0.02


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"engine": "fake", "comparisons": [{}]}'])
def test_damaged_cache_is_measured_again(model: Model, settings: Settings, content: str) -> None:
    floor = measure(model, settings, like_bitnet_cpp)
    (cached,) = (settings.cache_dir / "noise").iterdir()
    whole = cached.read_text()
    cached.write_text(content)
    assert measure(model, settings, like_bitnet_cpp) == floor
    assert cached.read_text() == whole


def test_levels_of_a_floor_are_computed_once() -> None:
    """Every position of a run is judged by them, and a corpus has many."""
    floor = NoiseFloor("x", (SelfComparison("self", "again", (Levels(1, 2, 3, 4),), {}),))
    assert floor.levels is floor.levels
    assert floor.levels == Levels(1, 2, 3, 4)
