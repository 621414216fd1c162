"""A comparison that something ends early keeps what was measured, judges it, and says what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.result import ComparisonResult, read_result
from bitparity.compare.run import compare_engines
from bitparity.errors import BadInput, EngineFailed
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.noise.criterion import MULTIPLE, FixedLimit
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison
from bitparity.noise.verdict import Verdict
from bitparity.report.words import headline
from bitparity.settings import read_settings

Make = Callable[..., Any]
IDS = (3, 1, 4, 1, 5)
SMALL, LARGE = 1e-3, 0.3  # moves of the logits: within the noise below, and beyond it
FLOOR = NoiseFloor("reference", (SelfComparison("rounding", "moved", (Levels(0.02, 2e-4, 1e-2, 0.1),), {}),))
CRASH = EngineFailed("reference", "aborted (SIGABRT)", "GGML_ASSERT(false)")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1))
    return open_model(path)


def moved(sizes: dict[int, float]) -> Callable[[int, np.ndarray], np.ndarray]:
    """Move the worst token's logit by so much of the norm at these positions."""

    def alter(position: int, row: np.ndarray) -> np.ndarray:
        changed: np.ndarray = row.copy()
        changed[np.argmin(row)] -= np.float32(sizes.get(position, 0.0)) * np.linalg.norm(row)
        return changed

    return alter


def measures(monkeypatch: pytest.MonkeyPatch, outcome: NoiseFloor | Exception) -> list[list[int]]:
    """Let the measurement of noise end in this; returns the tokens that it is asked for."""
    asked: list[list[int]] = []

    def measure_noise(session: Any, engine: Any, model: Any, tokens: list[int], **options: Any) -> NoiseFloor:
        asked.append(tokens)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("bitparity.compare.noise.measure_noise", measure_noise)
    return asked


def run(expected: Any, actual: Any, model: Model, **options: Any) -> ComparisonResult:
    comparison = Comparison(
        reference=Side(expected, model),
        candidate=Side(actual, model),
        prompts=[Prompt(tokens=IDS)],
        settings=read_settings(),
        chunking=Chunking("decode"),
    )
    return compare_engines(comparison, **options)


def verdicts(result: ComparisonResult) -> list[str]:
    return [row.judged.verdict.value for row in result.positions]


def test_candidate_that_dies_is_judged_by_noise_until_then(
    fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measures(monkeypatch, FLOOR)
    candidate = fake_engine("candidate", alter=moved({1: SMALL, 2: LARGE}), fail_at=3)
    result = run(fake_engine("reference"), candidate, model)
    assert verdicts(result) == ["agree", "noise", "diverged"]
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert asked == [list(IDS[:3])]
    assert result.noise_floor == FLOOR.as_dict()
    assert headline(result).startswith(
        "candidate aborted (SIGABRT); its last words: GGML_ASSERT(false); 3 of 5 positions were compared "
        "before (1 agree, 1 noise, 1 diverged, the first at position 2: 1 - cosine is "
    )


def test_reference_that_dies_leaves_what_agreed_and_accuses_nobody(
    fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measures(monkeypatch, AssertionError("a dead reference was asked for its noise"))
    candidate = fake_engine("candidate", alter=moved({1: SMALL}))
    result = run(fake_engine("reference", fail_at=3), candidate, model)
    assert verdicts(result) == ["agree", "not compared", "agree"]
    assert "whether that is noise is not known" in result.positions[1].judged.reason
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert result.counts()["compared"] == 2
    assert asked == []


def test_two_engines_of_one_name_are_told_apart(
    fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures(monkeypatch, FLOOR)
    result = run(fake_engine(), fake_engine(alter=moved({1: SMALL}), fail_at=3), model)
    assert verdicts(result) == ["agree", "noise", "agree"]


@pytest.mark.parametrize(
    ("trouble", "verdict", "exit_code", "said"),
    [
        (
            CRASH,
            Verdict.ENGINE_FAILED,
            5,
            "the noise of reference was not measured: reference aborted (SIGABRT); its last words",
        ),
        (OSError(28, "No space left on device"), Verdict.NOT_COMPARED, 4, "No space left on device"),
        (BadInput("no F32 norm weights"), Verdict.NOT_COMPARED, 4, "no F32 norm weights"),
    ],
)
def test_noise_that_cannot_be_measured_throws_no_position_away(
    trouble: Exception,
    verdict: Verdict,
    exit_code: int,
    said: str,
    fake_engine: Make,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    measures(monkeypatch, trouble)
    result = run(fake_engine("reference"), fake_engine("candidate", alter=moved({1: SMALL})), model)
    assert verdicts(result) == ["agree", "not compared", "agree", "agree", "agree"]
    assert (result.verdict, result.exit_code) == (verdict, exit_code)
    assert said in headline(result)
    assert "4 of 5 positions" in headline(result)
    result.save(tmp_path / "r.json")
    assert read_result(tmp_path / "r.json").as_dict() == result.as_dict()


def test_answer_that_is_too_short_keeps_what_was_compared_before(fake_engine: Make, model: Model) -> None:
    reference, candidate = fake_engine("reference"), fake_engine("candidate")
    comparison = Comparison(
        reference=Side(reference, model),
        candidate=Side(candidate, model),
        prompts=[Prompt(tokens=IDS)],
        settings=read_settings(),
        chunking=Chunking("3"),
    )
    loses_rows = candidate.open(model.path, context=16, threads=1)
    whole = loses_rows.prefill
    loses_rows.prefill = lambda tokens, **options: whole(tokens)[: 3 if loses_rows.position < 4 else 1]
    opened = reference.open(model.path, context=16, threads=1), loses_rows
    result = compare_engines(comparison, limit=1e-4, sessions=opened)
    assert verdicts(result) == ["agree"] * 3
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert headline(result).startswith(
        "candidate returned logits of shape (1, 64) where a float32 array of shape (2, 64) is needed; "
        "an engine that has one row only has forward_last instead of forward; 3 of 5 positions were compared"
    )


def test_engine_that_fails_when_it_is_closed_keeps_the_result(fake_engine: Make, model: Model) -> None:
    result = run(fake_engine("reference"), fake_engine("candidate", raises_in="close"), model, limit=1e-4)
    assert verdicts(result) == ["agree"] * 5
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert headline(result).startswith("candidate raised ValueError; its last words: a bug in close")


def test_engine_that_dies_while_stages_are_judged_keeps_the_positions(
    fake_engine: Make, model: Model
) -> None:
    result = run(
        fake_engine("reference"), fake_engine("candidate", raises_in="tap"), model, limit=1e-4, blame=True
    )
    assert verdicts(result) == ["agree"] * 5
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert "stages were not judged: candidate raised ValueError" in headline(result)


@pytest.mark.parametrize(("size", "verdict"), [(0.0, Verdict.NOT_COMPARED), (LARGE, Verdict.DIVERGED)])
def test_stages_that_cannot_be_judged_are_no_pass_and_no_acquittal(
    size: float, verdict: Verdict, fake_engine: Make, model: Model
) -> None:
    """The fakes record no stage at all."""
    result = run(fake_engine(), fake_engine(alter=moved({1: size})), model, limit=1e-4, blame=True)
    assert result.counts()["compared"] == 5
    assert result.verdict is verdict
    assert "stages were not judged: no stage can be judged" in (result.unfinished or "")


def test_what_is_known_is_handed_out_before_more_is_run(
    fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever ends the process while noise is measured, the positions were there to be written."""
    seen: list[ComparisonResult] = []

    def interrupt(*_: Any, **__: Any) -> NoiseFloor:
        assert [r.verdict for r in seen] == [Verdict.NOT_COMPARED]
        raise KeyboardInterrupt

    monkeypatch.setattr("bitparity.compare.noise.measure_noise", interrupt)
    candidate = fake_engine("candidate", alter=moved({1: SMALL}))
    with pytest.raises(KeyboardInterrupt):
        run(fake_engine("reference"), candidate, model, on_result=seen.append)
    assert verdicts(seen[0]) == ["agree", "not compared", "agree", "agree", "agree"]
    assert "the noise of reference was not measured" in headline(seen[0])


def test_wrong_stage_stays_a_divergence_when_a_stored_result_is_judged_again(
    fake_engine: Make, model: Model, tmp_path: Path
) -> None:
    result = run(fake_engine(), fake_engine(), model, limit=1e-4)
    guilty = replace(result, blame={"guilty": True, "sentence": "x is wrong"}).judged_by(FixedLimit(1e-4))
    assert (guilty.verdict, guilty.exit_code) == (Verdict.DIVERGED, 1)
    guilty.save(tmp_path / "r.json")
    assert read_result(tmp_path / "r.json").judged_by(FixedLimit(0.5)).verdict is Verdict.DIVERGED


def test_noise_of_the_tests_is_between_their_two_moves() -> None:
    assert SMALL < MULTIPLE * FLOOR.relative_l2 < LARGE
