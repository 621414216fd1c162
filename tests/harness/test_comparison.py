"""Whole comparisons of fake engines: verdicts, early ends, results as data, recordings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.metrics import compare_logits
from bitparity.compare.prompts import Prompt
from bitparity.compare.recorder import make_recording
from bitparity.compare.recording import (
    RecordedEngine,
    RecordedSequence,
    Recording,
    read_recording,
    save_recording,
    weights_digest,
)
from bitparity.compare.result import ComparisonResult, read_result
from bitparity.compare.run import compare_engines
from bitparity.errors import BadInput, EngineUnavailable, NotCompared, TokenMismatch
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.noise.criterion import FixedLimit, MeasuredNoise
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison
from bitparity.noise.verdict import Verdict
from bitparity.report.html import render_page
from bitparity.settings import read_settings

Make = Callable[..., Any]
IDS = Prompt(tokens=(3, 1, 4, 1, 5))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1))
    return open_model(path)


def run(expected: Any, actual: Any, model: Model, *prompts: Prompt, **options: Any) -> ComparisonResult:
    comparison = Comparison(
        reference=Side(expected, model),
        candidate=Side(actual, model),
        prompts=prompts or [IDS],
        settings=read_settings(),
        command="bitparity compare",
        **options,
    )
    return compare_engines(comparison, limit=1e-4)


def shifted(at: int, by: float) -> Callable[[int, np.ndarray], np.ndarray]:
    """Add `by` to half of the logits of one position."""

    def alter(position: int, row: np.ndarray) -> np.ndarray:
        changed: np.ndarray = row.copy()
        changed[1::2] += np.float32(by * (position == at))
        return changed

    return alter


def test_equal_engines_agree(fake_engine: Make, model: Model) -> None:
    result = run(fake_engine(), fake_engine(), model)
    assert (result.verdict, result.exit_code) == (Verdict.AGREE, 0)
    assert result.counts()["compared"] == result.asked == 5
    assert result.first_divergence is None
    assert {"date", "host", "cpu", "version", "commit"} <= set(result.made)


def test_planted_difference_is_diverged_at_its_position(fake_engine: Make, model: Model) -> None:
    result = run(fake_engine(), fake_engine(alter=shifted(2, 1.0)), model, IDS, IDS)
    assert (result.verdict, result.exit_code) == (Verdict.DIVERGED, 1)
    first = result.first_divergence
    assert first is not None
    assert (first.prompt, first.position, first.token) == (0, 2, 4)
    assert result.counts()["diverged"] == 2


def test_crash_keeps_what_was_measured(fake_engine: Make, model: Model) -> None:
    from bitparity.compare.chunking import Chunking

    result = run(fake_engine(), fake_engine(fail_at=3), model, chunking=Chunking("decode"))
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert result.counts()["compared"] == 3
    assert result.failure == "fake aborted (SIGABRT); its last words: GGML_ASSERT(false)"


def test_nan_on_one_side_is_exit_5(fake_engine: Make, model: Model) -> None:
    result = run(fake_engine(), fake_engine(alter=lambda p, row: row * math.nan if p == 1 else row), model)
    assert (result.verdict, result.exit_code) == (Verdict.DIVERGED, 5)


def test_nan_on_both_sides_is_not_agreement(fake_engine: Make, model: Model) -> None:
    broken = fake_engine(alter=lambda position, row: row * math.nan)
    assert run(broken, broken, model).exit_code == 1


def test_fewer_rows_than_tokens_are_a_failure_of_the_engine(fake_engine: Make, model: Model) -> None:
    result = run(fake_engine(), fake_engine(lose_rows=1), model)
    assert result.exit_code == 5
    assert result.failure == (
        "fake returned logits of shape (4, 64) where a float32 array of shape (5, 64) is needed"
    )


def test_no_prompt_is_refused(fake_engine: Make, model: Model) -> None:
    with pytest.raises(BadInput, match="no prompt"):
        compare_engines(
            Comparison(Side(fake_engine(), model), Side(fake_engine(), model), [], read_settings())
        )


def test_missing_reference_is_exit_4_with_advice(fake_engine: Make, model: Model) -> None:
    with pytest.raises(EngineUnavailable, match="install the fake") as caught:
        run(fake_engine(found=False), fake_engine(), model)
    assert caught.value.exit_code == 4


def test_refused_model_is_exit_4(fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_engine, "refusal", lambda *_: "it has no I2_S")
    with pytest.raises(NotCompared, match="it has no I2_S"):
        run(fake_engine(), fake_engine(), model)


def test_other_tokenizer_is_exit_3_and_nothing_runs(fake_engine: Make, model: Model) -> None:
    with pytest.raises(TokenMismatch) as caught:
        run(fake_engine(), fake_engine(offset=1, fail_at=0), model, Prompt(text="AB"))
    assert caught.value.exit_code == 3


def test_unequal_vocabularies_are_refused(fake_engine: Make, model: Model) -> None:
    with pytest.raises(BadInput, match=r"64 tokens .* 65"):
        run(fake_engine(), fake_engine(n_vocab=65), model)


def test_deterministic_means_one_thread(
    fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITNET_DETERMINISTIC", "1")
    assert run(fake_engine(), fake_engine(), model, threads=8).reference["threads"] == 1


def test_result_is_the_same_after_saving(fake_engine: Make, model: Model, tmp_path: Path) -> None:
    broken = fake_engine(alter=lambda p, row: row * math.nan if p == 1 else row)
    result = run(fake_engine(), broken, model, Prompt(text="ABC"), IDS, steps=2)
    path = tmp_path / "result.json"
    result.save(path)
    again = read_result(path)
    assert again.as_dict() == result.as_dict()
    assert again.judged_by(FixedLimit(1e-4)).as_dict() == result.as_dict()
    assert math.isnan(again.positions[1].metrics.cosine)


def test_result_against_a_reference_of_nan_is_kept(fake_engine: Make, model: Model, tmp_path: Path) -> None:
    """NaN in one run of the reference is in its noise floor, in the flips, and in the limits made of it."""
    nan = compare_logits(np.ones(4), np.full(4, math.nan))
    flips = {0: nan.contested}
    floor = NoiseFloor("fake", (SelfComparison("self", "again", (Levels.of(nan),), flips, {"q": math.nan}),))
    result = run(fake_engine(), fake_engine(alter=shifted(1, 0.1)), model)
    result = replace(result, noise_floor=floor.as_dict()).judged_by(MeasuredNoise(floor))
    assert (result.verdict, result.exit_code) == (Verdict.REFERENCE_SUSPECT, 4)
    path = tmp_path / "result.json"
    result.save(path)
    json.loads(path.read_text(), parse_constant=pytest.fail)
    kept = read_result(path)
    assert kept.verdict is Verdict.REFERENCE_SUSPECT
    assert NoiseFloor.from_dict(dict(kept.noise_floor or {})).suspect == "fake returned NaN or infinity"
    assert "reference suspect" in render_page(result)


def test_json_has_the_keys_that_were_promised(fake_engine: Make, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    run(fake_engine(), fake_engine(alter=shifted(2, 1.0)), model).save(path)
    data = json.loads(path.read_text())
    assert data["verdict"] == "diverged"
    assert data["exit_code"] == 1
    assert data["model"].keys() >= {"path", "blake3"}
    assert data["reference"]["engine"] == data["candidate"]["engine"] == "fake"
    assert data["tokens"] == [3, 1, 4, 1, 5]
    promised = "position cosine l2 relative_l2 max_abs kl argmax_equal top_k_overlap verdict"
    assert all(row.keys() >= set(promised.split()) for row in data["positions"])
    assert data["first_divergence"]["position"] == 2
    assert data["noise_floor"] is None
    assert data["compared"]["diverged"] == 1


def test_frame_has_one_row_a_position(fake_engine: Make, model: Model) -> None:
    frame = run(fake_engine(), fake_engine(alter=shifted(2, 1.0)), model).to_frame()
    assert list(frame["position"]) == [0, 1, 2, 3, 4]
    assert list(frame.query("verdict == 'diverged'")["position"]) == [2]


def test_stored_result_is_judged_again_without_an_engine(fake_engine: Make, model: Model) -> None:
    result = run(fake_engine(), fake_engine(alter=shifted(2, 0.01)), model)
    assert result.verdict is Verdict.AGREE
    assert result.judged_by(FixedLimit(1e-12)).verdict is Verdict.DIVERGED


@pytest.mark.parametrize("content", ["", "{}", '{"format": 99}', "[1]", '{"format": 1}', "\xff"])
def test_file_that_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"r\.json"):
        read_result(path)


@pytest.mark.parametrize(
    "name", ["model", "verdict", "prompts", "positions", "limits", "noise_floor", "reference"]
)
def test_result_that_lacks_a_field_is_refused(
    fake_engine: Make, model: Model, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "r.json"
    run(fake_engine(), fake_engine(), model).save(path)
    data = json.loads(path.read_text())
    for damaged in (
        {key: value for key, value in data.items() if key != name},
        data | {name: 5},
        data | {name: [{"kl": 1}]},
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(BadInput, match=r"r\.json is no whole result \(.*\); make it again"):
            read_result(path)


def recording_of(engine: Any, model: Model, tokens: tuple[int, ...], text: str | None = None) -> Recording:
    """Built by hand, as make_recording would: it also measures noise, which a fake has none of."""
    session = engine.open(model.path, context=64, threads=1)
    rows = session.prefill(tokens)
    sequences = tuple(RecordedSequence(text, tokens, chunks, rows) for chunks in ("prefill", "decode"))
    noise = NoiseFloor("fake", (SelfComparison("self", "none", (Levels(),), {}),))
    return Recording(session.info, weights_digest(model), sequences, noise)


@pytest.fixture
def recorded(fake_engine: Make, model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "fake.npz"
    save_recording(recording_of(fake_engine(), model, (1, 2, 3), "ABC"), path)
    return path


def test_recording_comes_back_bit_for_bit(fake_engine: Make, model: Model, recorded: Path) -> None:
    kept, read = recording_of(fake_engine(), model, (1, 2, 3), "ABC"), read_recording(recorded)
    assert read.info == kept.info
    for expected, actual in zip(kept.sequences, read.sequences, strict=True):
        assert actual.logits.dtype == np.float32
        assert np.array_equal(expected.logits, actual.logits)
        assert (expected.text, expected.tokens, expected.chunks) == (
            actual.text,
            actual.tokens,
            actual.chunks,
        )


@pytest.mark.parametrize("chunks", ["prefill", "decode", "mixed", "2"])
def test_recording_answers_like_its_engine(
    fake_engine: Make, model: Model, recorded: Path, chunks: str
) -> None:
    from bitparity.compare.chunking import Chunking

    engine = RecordedEngine(recorded)
    prompts = engine.recording.prompts()
    result = run(engine, fake_engine(), model, *prompts, chunking=Chunking(chunks))
    assert prompts == [Prompt(text="ABC")]
    assert result.verdict is Verdict.AGREE
    assert result.reference["details"]["recording"] == recorded.name
    assert run(engine, fake_engine(alter=shifted(2, 1.0)), model, *prompts).verdict is Verdict.DIVERGED


def test_recording_brings_its_own_noise(fake_engine: Make, model: Model, recorded: Path) -> None:
    engine = RecordedEngine(recorded)
    comparison = Comparison(
        Side(engine, model),
        Side(fake_engine(alter=shifted(1, 0.01)), model),
        engine.recording.prompts(),
        read_settings(),
    )
    result = compare_engines(comparison)
    assert engine.recording.noise is not None
    assert result.noise_floor == engine.recording.noise.as_dict()
    assert result.verdict is Verdict.DIVERGED


def test_tokens_that_were_not_recorded_are_not_compared(
    fake_engine: Make, model: Model, recorded: Path
) -> None:
    with pytest.raises(NotCompared, match="has not recorded"):
        run(RecordedEngine(recorded), fake_engine(), model, Prompt(tokens=(1, 2, 4)))
    with pytest.raises(NotCompared, match="no recording of this text"):
        run(RecordedEngine(recorded), fake_engine(), model, Prompt(text="AB"))


def test_recording_of_other_weights_is_refused(
    fake_engine: Make, model: Model, recorded: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.gguf"
    make_model(path, ModelSpec(n_layer=1, seed=1))
    with pytest.raises(BadInput, match="other weights"):
        run(RecordedEngine(recorded), fake_engine(), open_model(path), Prompt(text="ABC"))


def test_truncated_recording_is_refused(recorded: Path) -> None:
    recorded.write_bytes(recorded.read_bytes()[:-100])
    with pytest.raises(BadInput, match="not a whole recording"):
        read_recording(recorded)


@pytest.mark.parametrize("role", ["candidate", "oracle"])
def test_engine_that_is_no_reference_is_never_recorded(fake_engine: Make, model: Model, role: str) -> None:
    with pytest.raises(BadInput, match=f"its role is {role}; a recording is made from a reference"):
        make_recording(fake_engine(role=role), model, [IDS], settings=read_settings())


def test_made_recording_has_prefill_decode_and_noise(
    fake_engine: Make, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path))
    made = make_recording(
        fake_engine(role="reference"), model, [IDS], settings=replace(read_settings(), cache_dir=tmp_path)
    )
    assert [(s.tokens, s.chunks) for s in made.sequences] == [
        (IDS.tokens, "prefill"),
        (IDS.tokens, "decode"),
    ]
    assert made.noise is not None
    assert made.noise.comparisons
    assert made.noise.relative_l2 == 0
