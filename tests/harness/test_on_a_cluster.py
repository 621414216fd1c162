"""`fuzz` and `selftest` on the workers of a cluster: the same answers as in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed", reason="a cluster needs Dask's scheduler")

from bitparity.errors import EngineFailed
from bitparity.faults.selftest import CaseTask, Selftest, find_on
from bitparity.fuzz import cluster as fuzz_cluster
from bitparity.fuzz.campaign import run_campaign
from bitparity.fuzz.cluster import TargetAnswer, run_campaign_on, search_target
from bitparity.fuzz.failures import Failures
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.known_defects import KNOWN_DEFECTS
from bitparity.fuzz.own import numpy_implementation
from bitparity.sweep.cluster import Lost, open_cluster

KERNELS = ("kernels",)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with open_cluster(None, 1) as client:
        yield client


@pytest.fixture(scope="module")
def own() -> list[Implementation]:
    """Ours in NumPy, of two formats."""
    numpy = numpy_implementation()
    kept = {key: function for key, function in numpy.functions.items() if key[1] in ("TQ2_0", "I2_S")}
    return [replace(numpy, functions=kept)]


@pytest.fixture
def without_cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], Any]:
    """Stand in for a cluster whose workers answer with this function; returns its client."""

    def stand_in(answer: Callable[[Any], Any]) -> Any:
        def run_tasks(client: Any, run: Any, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
            yield from ((task, answer(task)) for task in tasks)

        monkeypatch.setattr(fuzz_cluster, "run_tasks", run_tasks)
        monkeypatch.setattr("bitparity.faults.selftest.run_tasks", run_tasks)
        return SimpleNamespace(nthreads=lambda: {"worker": 2})

    return stand_in


def test_campaign_on_a_cluster_searches_what_one_here_does(client: Any, own: list[Implementation]) -> None:
    here = run_campaign(KERNELS, own, examples=3, seed=1)
    there = run_campaign_on(client, KERNELS, own, examples=3, seed=1)
    assert here.outcomes
    searched = {outcome.target.name: outcome.examples for outcome in here.outcomes}
    assert {outcome.target.name: outcome.examples for outcome in there.outcomes} == searched
    assert (there.exit_code, there.lost) == (here.exit_code, []) == (0, [])


def test_counterexample_of_a_worker_is_reported_and_remembered_here(
    without_cluster: Any, own: list[Implementation], tmp_path: Path
) -> None:
    case = KNOWN_DEFECTS[0].case
    client = without_cluster(lambda task: TargetAnswer(7, case, "it is wrong", ()))
    report = run_campaign_on(client, KERNELS, own, examples=1, seed=0, database=tmp_path)
    assert report.exit_code == 1
    assert {o.counterexample.message for o in report.broken if o.counterexample} == {"it is wrong"}
    name = report.broken[0].target.name
    assert Failures(tmp_path, name).cases() == [case]

    seen: list[Any] = []

    def forgets(task: Any) -> TargetAnswer:
        seen.extend(task.cases)
        return TargetAnswer(1, None, None, task.cases)

    mended = run_campaign_on(without_cluster(forgets), KERNELS, own, examples=1, seed=0, database=tmp_path)
    assert seen == [case] * len(report.broken)
    assert (mended.broken, Failures(tmp_path, name).cases()) == ([], [])


@pytest.mark.parametrize(("answer", "why"), [(None, "has no such"), (Lost("2 workers died"), "2 workers")])
def test_target_that_was_not_searched_is_no_pass(
    without_cluster: Any, own: list[Implementation], answer: Any, why: str
) -> None:
    report = run_campaign_on(without_cluster(lambda task: answer), KERNELS, own, examples=1, seed=0)
    assert report.exit_code == 4
    assert all(why in said for _, said in report.lost)
    assert len(report.lost) >= 1


def test_time_of_a_campaign_is_shared_out_among_targets_and_workers(
    without_cluster: Any, own: list[Implementation]
) -> None:
    seconds: list[float] = []

    def answer(task: Any) -> TargetAnswer:
        seconds.append(task.seconds)
        return TargetAnswer(1, None, None, ())

    run_campaign_on(without_cluster(answer), KERNELS, own, examples=1, seed=0, time_limit=30)
    assert seconds == [pytest.approx(30 * 2 / len(seconds))] * len(seconds)


def test_worker_without_the_implementation_says_so() -> None:
    task = fuzz_cluster.TargetTask(("gone", "F16", "nobody"), KERNELS, 1, 0, None, ())
    assert search_target(task) is None


def test_faults_are_found_by_workers_as_they_are_here(client: Any, tmp_path: Path) -> None:
    selftest = Selftest(("oracle",), None, tmp_path)
    names = list(selftest.cases)[:2]
    tasks = [CaseTask(("oracle",), None, each) for each in names]
    found = dict(find_on(client, selftest, tasks))
    assert set(found) == set(names)
    for each in names:
        here = selftest.find(each)
        assert (found[each].is_found, found[each].problem) == (here.is_found, here.problem) == (True, "")
        assert found[each].report.sentence == here.report.sentence


def test_fault_that_loses_its_workers_is_a_failure(without_cluster: Any, tmp_path: Path) -> None:
    selftest = Selftest(("oracle",), None, tmp_path)
    task = CaseTask(("oracle",), None, next(iter(selftest.cases)))
    with pytest.raises(EngineFailed, match="lost its worker with the fault"):
        list(find_on(without_cluster(lambda task: Lost("2 workers died")), selftest, [task]))
