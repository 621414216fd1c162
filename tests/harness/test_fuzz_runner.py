"""The search finds a planted fault, shrinks it, remembers it, and says how to repeat it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.errors import BadInput
from bitparity.fuzz import campaign, known_defects
from bitparity.fuzz.campaign import run_campaign
from bitparity.fuzz.cases import BytesCase, ProductCase, WeightCase
from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.failures import Failures
from bitparity.fuzz.implementations import Implementation, pick
from bitparity.fuzz.known_defects import KNOWN_DEFECTS, Builds, KnownDefect, lane_load
from bitparity.fuzz.memory import Arena, MemoryBroken, Placement
from bitparity.fuzz.own import numpy_implementation
from bitparity.fuzz.replay import replay, save_snippet, snippet
from bitparity.fuzz.runner import Outcome, Target, search, targets
from bitparity.fuzz.sessions import SessionCase
from bitparity.fuzz.violation import Violation, expect_equal


def _wrong_beyond(limit: int) -> Implementation:
    """Packs F32 wrongly in matrices of more than `limit` values."""

    def pack(values: Any, placement: object = None) -> Any:
        packed = values.copy().view(np.uint8).reshape(-1)
        if values.size > limit:
            packed[-1] ^= 1
        return packed

    return Implementation("planted", {("pack", "F32"): pack})


def _target(subject: Implementation) -> Target:
    return Target(CONTRACTS["packs_as_defined"], "F32", subject)


def test_search_finds_and_shrinks_a_planted_fault() -> None:
    outcome = search(_target(_wrong_beyond(100)), examples=100, seed=0)
    assert outcome.counterexample is not None
    case = outcome.counterexample.case
    assert (case.rows * case.cols, case.magnitude, case.seed) == (
        105,
        1.0,
        0,
    )  # 7 x 15, the smallest above 100
    assert "1 of 420 values differ; at (419,)" in outcome.counterexample.message


def test_search_of_a_correct_implementation_runs_all_examples() -> None:
    outcome = search(_target(_wrong_beyond(10**9)), examples=40, seed=0)
    assert outcome.counterexample is None
    assert outcome.examples == 40


def test_search_replays_a_remembered_failure_first(tmp_path: Path) -> None:
    found = search(_target(_wrong_beyond(100)), examples=100, seed=0, database=tmp_path).counterexample
    again = search(_target(_wrong_beyond(100)), examples=1, seed=99, database=tmp_path)
    assert found is not None
    assert again.counterexample is not None
    assert (again.examples, again.counterexample.case) == (1, found.case)


def test_search_forgets_a_failure_that_is_mended(tmp_path: Path) -> None:
    search(_target(_wrong_beyond(100)), examples=100, seed=0, database=tmp_path)
    assert list(tmp_path.rglob("*.json"))
    assert search(_target(_wrong_beyond(10**9)), examples=1, seed=0, database=tmp_path).counterexample is None
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "case",
    [
        WeightCase(1, 2, "ties", 0.1, 3),
        BytesCase(1, 2, "random", 3),
        ProductCase(1, 128, 2, "plus", "127", 3),
        SessionCase(3, (("prefill", 4), ("rollback", 1))),
    ],
)
def test_failures_keep_every_kind_of_case(tmp_path: Path, case: Any) -> None:
    Failures(tmp_path, "target").remember(case)
    assert Failures(tmp_path, "target").cases() == [case]
    assert Failures(tmp_path, "another target").cases() == []


def test_search_out_of_time_runs_nothing() -> None:
    assert search(_target(_wrong_beyond(0)), examples=10, seed=0, out_of_time=lambda: True).examples == 0


def test_snippet_is_a_program_that_names_implementation_and_contract(tmp_path: Path) -> None:
    found = search(_target(_wrong_beyond(0)), examples=10, seed=0).counterexample
    assert found is not None
    text = save_snippet(found, tmp_path).read_text()
    compile(text, "snippet", "exec")
    assert text == snippet(found)
    assert "implementation='planted'" in text
    assert "contract='packs_as_defined'" in text


def test_replay_runs_one_case() -> None:
    case = WeightCase(rows=1, cols=128, recipe="ternary", magnitude=0.5, seed=1)
    replay(implementation="numpy", contract="keeps_ternary_weights", weight_format="I2_S", case=case)
    with pytest.raises(BadInput, match="no contract is named 'nonsense'"):
        replay(implementation="numpy", contract="nonsense", weight_format="I2_S", case=case)
    with pytest.raises(BadInput, match="no implementation is named 'nobody'"):
        replay(implementation="nobody", contract="keeps_ternary_weights", weight_format="I2_S", case=case)


def test_campaign_of_a_broken_implementation_exits_1() -> None:
    report = run_campaign(("formats",), [_wrong_beyond(0)], examples=5, seed=0)
    assert report.exit_code == 1
    assert [o.target.name for o in report.broken] == ["planted: packs_as_defined[F32]"]


def test_campaign_that_ran_nothing_exits_4() -> None:
    assert run_campaign(("formats",), [], examples=5, seed=0).exit_code == 4
    late = run_campaign(("formats",), [_wrong_beyond(0)], examples=5, seed=0, time_limit=0)
    assert late.exit_code == 4
    assert late.skipped


def test_search_looks_at_the_clock_before_every_case() -> None:
    looks = iter(range(10**6))
    target = targets([CONTRACTS["packs_as_defined"]], [_wrong_beyond(10**9)])[0]
    outcome = search(target, examples=1000, seed=0, out_of_time=lambda: next(looks) > 7)
    assert outcome.examples == 7


def test_campaign_that_did_not_begin_every_target_exits_4(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def search_too_long(target: Target, **others: Any) -> Outcome:
        nonlocal now
        now += 100
        return Outcome(target, 1, None)

    monkeypatch.setattr(campaign, "search", search_too_long)
    monkeypatch.setattr("time.monotonic", lambda: now)
    report = run_campaign(("formats",), [numpy_implementation()], examples=1, seed=0, time_limit=60)
    assert (len(report.outcomes), report.exit_code) == (1, 4)
    assert report.skipped


def test_campaign_shares_its_time_equally_among_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def search_until_late(target: Target, *, out_of_time: Callable[[], bool], **others: Any) -> Outcome:
        nonlocal now
        begun = now
        while not out_of_time():
            now += 1
        return Outcome(target, int(now - begun), None)

    monkeypatch.setattr(campaign, "search", search_until_late)
    monkeypatch.setattr("time.monotonic", lambda: now)
    report = run_campaign(("formats",), [numpy_implementation()], examples=10**9, seed=0, time_limit=6000)
    assert report.skipped == []
    shares = {outcome.examples for outcome in report.outcomes}
    assert max(shares) - min(shares) <= 2
    assert abs(sum(outcome.examples for outcome in report.outcomes) - 6000) <= 2


def test_known_defect_that_is_gone_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    case = WeightCase(rows=1, cols=1, recipe="plus", magnitude=1.0, seed=0)
    defect = KnownDefect("planted", "packs_as_defined", "F32", case, "was wrong", "no", lambda case: False)
    monkeypatch.setattr(campaign, "KNOWN_DEFECTS", (defect,))
    mended = run_campaign(("formats",), [_wrong_beyond(10**9)], examples=5, seed=0)
    assert (mended.exit_code, mended.not_as_listed) == (1, [defect])
    present = run_campaign(("formats",), [_wrong_beyond(0)], examples=5, seed=0)
    assert present.not_as_listed == []
    assert present.known[0].message is not None


def test_known_defect_is_gone_only_from_builds_that_should_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    case = WeightCase(rows=7, cols=15, recipe="plus", magnitude=1.0, seed=0)
    avx2 = Builds("builds for AVX2", lambda build: "avx2" in build.isa)
    large = lambda case: case.rows * case.cols > 100  # noqa: E731
    defect = KnownDefect("planted", "packs_as_defined", "F32", case, "was wrong", "no", large, avx2)
    monkeypatch.setattr(campaign, "KNOWN_DEFECTS", (defect,))
    monkeypatch.setattr(known_defects, "KNOWN_DEFECTS", (defect,))
    sound, wrong = _wrong_beyond(10**9), _wrong_beyond(100)
    reports = {
        (build_has_it, shows): run_campaign(("formats",), [replace(subject, isa=isa)], examples=50, seed=0)
        for build_has_it, isa in ((True, frozenset({"avx2"})), (False, frozenset()))
        for shows, subject in ((True, wrong), (False, sound))
    }
    assert {key: report.not_as_listed for key, report in reports.items()} == {
        (True, True): [],
        (True, False): [defect],
        (False, True): [defect],
        (False, False): [],
    }
    assert [reports[False, shows].exit_code for shows in (True, False)] == [1, 0]
    # what it covers is left out of the search of the builds that have it, and of no other
    assert [len(reports[build, True].broken) for build in (True, False)] == [0, 1]


CLANG, GCC = "clang version 14.0.6", "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"


@pytest.mark.parametrize(
    ("engine", "compiler", "isa", "has_it"),
    [  # what quantize_row_q8_0_ref of each gave, compiled so; see the explanation of the defect
        ("bitnet.cpp", CLANG, {"sse3", "avx", "avx2", "f16c", "fma"}, True),
        ("bitnet.cpp", CLANG, {"sse3", "avx", "avx2", "f16c", "fma", "avx512"}, False),
        ("bitnet.cpp", GCC, {"avx2"}, False),
        ("bitnet.cpp", GCC, {"avx2", "avx512"}, False),
        ("bitnet.cpp", CLANG, {"neon"}, True),
        ("bitnet.cpp", GCC, {"neon"}, True),
        ("llama.cpp", GCC, {"avx2", "avx512"}, False),
        ("llama.cpp", CLANG, {"avx2", "avx512"}, True),
    ],
)
def test_q8_0_codes_of_tiny_blocks_depend_on_compiler_and_instruction_set(
    engine: str, compiler: str, isa: set[str], has_it: bool
) -> None:
    build = Implementation(engine, {}, compiler=compiler, isa=frozenset(isa))
    assert bool(known_defects.defects_of(build, "packs_as_defined", "Q8_0")) is has_it


def test_known_defect_is_replayed_whichever_of_its_implementations_comes_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine's functions and its sessions are two implementations of one name."""
    case = WeightCase(rows=1, cols=1, recipe="plus", magnitude=1.0, seed=0)
    defect = KnownDefect("planted", "packs_as_defined", "F32", case, "was wrong", "no", lambda case: False)
    monkeypatch.setattr(campaign, "KNOWN_DEFECTS", (defect,))
    functions = _wrong_beyond(0)
    sessions = Implementation("planted", {("session", "I2_S"): lambda: None})
    for here in ([functions, sessions], [sessions, functions]):
        reports = campaign.replay_known(("formats", "sessions"), here)
        assert [report.defect for report in reports] == [defect]


def test_known_defect_of_what_this_build_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    case = WeightCase(rows=1, cols=64, recipe="plus", magnitude=1.0, seed=0)
    defect = KnownDefect("planted", "packs_as_defined", "I2_S_ARM", case, "wrong", "no", lambda case: False)
    monkeypatch.setattr(campaign, "KNOWN_DEFECTS", (defect,))
    assert campaign.replay_known(("formats",), [_wrong_beyond(0)]) == []


def test_known_defects_cover_their_own_reproduction() -> None:
    assert KNOWN_DEFECTS
    for defect in KNOWN_DEFECTS:
        assert defect.covers(defect.case), defect
        assert defect.contract in CONTRACTS
        assert defect.trained
        assert defect.builds.words


def test_lane_load_is_reached_at_17_blocks_and_not_before() -> None:
    plus, loud = np.ones((1, 17 * 128), dtype=np.int8), np.full((1, 17 * 128), 127, dtype=np.int8)
    assert lane_load(plus, loud) == pytest.approx(17 * 8 * 2 * 127 / 32767)
    assert lane_load(plus[:, : 16 * 128], loud[:, : 16 * 128]) < 1


def test_targets_keep_the_definition_from_being_compared_with_itself() -> None:
    names = {t.contract.name for t in targets(list(CONTRACTS.values()), [numpy_implementation()])}
    assert "packs_as_defined" not in names
    assert "keeps_ternary_weights" in names


def test_pick_names_what_there_is() -> None:
    with pytest.raises(BadInput, match="found here: planted"):
        pick([_wrong_beyond(0)], "other")


@pytest.mark.parametrize("offset", [0, 1, 63])
def test_arena_places_buffers_where_asked_and_sees_both_sides(offset: int) -> None:
    arena = Arena(Placement(offset=offset, poison=0xAB))
    out = arena.output(10, np.uint8)
    assert out.ctypes.data % 64 == offset
    assert (out == 0xAB).all()
    arena.check()
    np.lib.stride_tricks.as_strided(out, (11,), (1,))[10] = 0
    with pytest.raises(MemoryBroken, match="wrote to byte 1 past the end of a buffer of 10 bytes"):
        arena.check()


def test_expect_equal_counts_and_shows_differences() -> None:
    expect_equal(np.array([np.nan, 0.0]), np.array([np.nan, -0.0]), "x")
    with pytest.raises(Violation, match=r"x: 1 of 2 values differ; at \(1,\): 3, expected 2"):
        expect_equal(np.array([1, 2]), np.array([1, 3]), "x")
    with pytest.raises(Violation, match="dtype"):
        expect_equal(np.array([1]), np.array([1.0]), "x")
    with pytest.raises(Violation, match="shape"):
        expect_equal(np.array([1]), np.array([[1]]), "x")
