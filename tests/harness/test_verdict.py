"""Every way a position or a run can be judged, and that nothing passes without having been compared."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bitparity.compare.metrics import PositionMetrics, compare_logits
from bitparity.noise.criterion import (
    EXACTNESS,
    MULTIPLE,
    SQUARED_MULTIPLE,
    SUSPECT_RELATIVE_L2,
    Criterion,
    Exactness,
    FixedLimit,
    MeasuredNoise,
    UnknownNoise,
)
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison
from bitparity.noise.verdict import (
    EXIT_CODES,
    PositionVerdict,
    Verdict,
    exit_code,
    judge_position,
    judge_run,
)

RNG = np.random.default_rng(0)
EXPECTED = RNG.normal(0, 3, 500)
EXPECTED[7] = 20.0  # a clear best token
DIRECTION = RNG.normal(0, 1, 500)
DIRECTION[7] = 0.0


def moved(size: float) -> PositionMetrics:
    return compare_logits(EXPECTED, EXPECTED + size * DIRECTION)


def floor(size: float, **changed: float) -> NoiseFloor:
    """As measured between EXPECTED and itself moved by `size`, some levels changed."""
    levels = replace(Levels.of(moved(size)), **changed)
    return NoiseFloor("reference", (SelfComparison("rounding", "moved", (levels,), {}),))


ENDLESS = floor(0.01, relative_l2=math.inf, one_minus_cosine=math.inf, kl=math.inf, max_abs=math.inf)


def flipped(gap: float) -> PositionMetrics:
    """The two best tokens change places; they were `gap` apart."""
    e = EXPECTED.copy()
    e[8] = e[7] - gap
    a = e.copy()
    a[[7, 8]] = a[[8, 7]]
    return compare_logits(e, a)


def judged(metrics: PositionMetrics, criterion: Criterion) -> Verdict:
    return judge_position(metrics, criterion).verdict


def test_fixed_limit_is_the_line() -> None:
    m = moved(0.1)
    assert judged(m, FixedLimit(m.one_minus_cosine)) is Verdict.AGREE
    assert judged(m, FixedLimit(m.one_minus_cosine * 0.999)) is Verdict.DIVERGED


def test_noise_grows_with_the_floor() -> None:
    """The floor's own multiple is noise, a tenth more is not, far below it is agreement."""
    criterion = MeasuredNoise(floor(0.01))
    assert judged(moved(0.01 * MULTIPLE * 0.98), criterion) is Verdict.NOISE
    assert judged(moved(0.01 * MULTIPLE * 1.1), criterion) is Verdict.DIVERGED
    assert judged(moved(1e-6), criterion) is Verdict.AGREE


def test_no_noise_still_allows_another_order_of_sums() -> None:
    criterion = MeasuredNoise(floor(0.0))
    assert judged(moved(1e-6), criterion) is Verdict.AGREE
    m = moved(1e-4)
    assert m.relative_l2 > EXACTNESS
    assert judged(m, criterion) is Verdict.DIVERGED


def test_kl_beyond_its_floor_diverges_although_the_vectors_are_close() -> None:
    m = moved(0.01)
    assert judged(m, MeasuredNoise(floor(0.01))) is Verdict.NOISE
    strict = floor(0.01, kl=m.kl / SQUARED_MULTIPLE / 1.1)
    assert judged(m, MeasuredNoise(strict)) is Verdict.DIVERGED


def test_flip_with_a_clear_lead_diverges_however_close_the_vectors_are() -> None:
    m = flipped(1.0)
    assert m.one_minus_cosine < 1e-3
    result = judge_position(m, FixedLimit(1e-3))
    assert result.verdict is Verdict.DIVERGED
    assert "the best token is 8 instead of 7" in result.reason


def test_flip_within_the_noise_is_marked_and_not_counted() -> None:
    close = floor(0.01, kl=1e-4)  # of a position whose two best are close, as here
    result = judge_position(flipped(0.01), MeasuredNoise(close))
    assert result.verdict is Verdict.NOISE
    assert result.is_near_tie
    fixed = judge_position(flipped(0.01), FixedLimit(1e-4))
    assert fixed.verdict is Verdict.AGREE
    assert fixed.is_near_tie


def test_flip_beyond_the_noise_diverges() -> None:
    levels = floor(0.01, kl=1.0)
    gap = 2 * MULTIPLE * levels.max_abs
    assert judge_position(flipped(gap * 0.99), MeasuredNoise(levels)).is_near_tie
    assert judged(flipped(gap * 1.01), MeasuredNoise(levels)) is Verdict.DIVERGED


@pytest.mark.parametrize("criterion", [FixedLimit(math.inf), MeasuredNoise(ENDLESS), Exactness(math.inf)])
@pytest.mark.parametrize("sides", [(True, False), (False, True), (True, True)])
def test_not_finite_diverges_under_any_limit(criterion: Criterion, sides: tuple[bool, bool]) -> None:
    e, a = (np.where(np.arange(500) == 3, np.nan if bad else EXPECTED, EXPECTED) for bad in sides)
    assert judged(compare_logits(e, a), criterion) is Verdict.DIVERGED


def test_floor_of_nan_lets_nothing_pass_and_makes_the_reference_suspect() -> None:
    criterion = MeasuredNoise(floor(0.01, relative_l2=math.nan, one_minus_cosine=math.nan, kl=math.nan))
    assert judged(moved(0.01), criterion) is Verdict.DIVERGED
    assert judge_run(verdicts(AGREE), asked=1, criterion=criterion) is Verdict.REFERENCE_SUSPECT


def test_exactness_needs_no_floor() -> None:
    assert judged(moved(1e-6), Exactness()) is Verdict.AGREE
    assert judged(moved(1e-4), Exactness()) is Verdict.DIVERGED


def verdicts(*names: Verdict) -> list[PositionVerdict]:
    return [PositionVerdict(name, "") for name in names]


AGREE, NOISE, DIVERGED = Verdict.AGREE, Verdict.NOISE, Verdict.DIVERGED


@pytest.mark.parametrize(
    ("seen", "asked", "expected"),
    [
        ([], 0, Verdict.NOT_COMPARED),
        ([], 3, Verdict.NOT_COMPARED),
        ([AGREE], 2, Verdict.NOT_COMPARED),
        ([AGREE, AGREE], 2, AGREE),
        ([AGREE, NOISE], 2, NOISE),
        ([AGREE, NOISE, DIVERGED], 3, DIVERGED),
        ([DIVERGED], 3, DIVERGED),
    ],
)
def test_worst_position_decides_the_run(seen: list[Verdict], asked: int, expected: Verdict) -> None:
    assert judge_run(verdicts(*seen), asked=asked, criterion=FixedLimit()) is expected


@pytest.mark.parametrize("seen", [[], [AGREE], [AGREE, DIVERGED]])
def test_failed_engine_outweighs_what_was_seen(seen: list[Verdict]) -> None:
    got = judge_run(
        verdicts(*seen),
        asked=2,
        criterion=FixedLimit(),
        an_engine_failed=True,
        a_stage_is_wrong=True,
        is_unfinished=True,
    )
    assert got is Verdict.ENGINE_FAILED


@pytest.mark.parametrize("seen", [[AGREE, AGREE], [AGREE, NOISE]])
def test_wrong_stage_is_a_divergence_and_what_is_unfinished_no_pass(seen: list[Verdict]) -> None:
    judge = partial(judge_run, verdicts(*seen), asked=2, criterion=FixedLimit())
    assert judge(a_stage_is_wrong=True) is DIVERGED
    assert judge(is_unfinished=True) is Verdict.NOT_COMPARED
    assert judge(a_stage_is_wrong=True, is_unfinished=True) is DIVERGED


def test_divergence_stays_one_when_the_run_is_unfinished() -> None:
    got = judge_run(verdicts(DIVERGED), asked=2, criterion=FixedLimit(), is_unfinished=True)
    assert got is DIVERGED


def test_position_whose_noise_is_not_known_is_neither_agreement_nor_divergence() -> None:
    assert judged(moved(1e-6), UnknownNoise()) is AGREE
    assert judged(moved(1e-3), UnknownNoise()) is Verdict.NOT_COMPARED
    assert judged(flipped(1.0), UnknownNoise()) is Verdict.NOT_COMPARED
    nan = compare_logits(EXPECTED, EXPECTED * np.nan)
    assert judged(nan, UnknownNoise()) is DIVERGED


@pytest.mark.parametrize(("factor", "suspect"), [(0.99, False), (1.01, True)])
def test_reference_far_from_itself_is_suspect(factor: float, suspect: bool) -> None:
    criterion = MeasuredNoise(floor(0.01, relative_l2=SUSPECT_RELATIVE_L2 * factor))
    got = judge_run(verdicts(AGREE), asked=1, criterion=criterion)
    assert got is (Verdict.REFERENCE_SUSPECT if suspect else AGREE)


def test_exit_codes_are_those_of_the_table() -> None:
    assert {v.value: code for v, code in EXIT_CODES.items()} == {
        "agree": 0,
        "explained": 0,
        "noise": 0,
        "diverged": 1,
        "not compared": 4,
        "reference suspect": 4,
        "engine failed": 5,
    }


@pytest.mark.parametrize(("sides", "code"), [((True, False), 5), ((False, True), 5), ((True, True), 1)])
def test_nan_on_one_side_is_exit_5(sides: tuple[bool, bool], code: int) -> None:
    e, a = (np.full(4, np.nan) if bad else np.arange(4.0) for bad in sides)
    assert exit_code(Verdict.DIVERGED, [moved(0.0), compare_logits(e, a)]) == code
