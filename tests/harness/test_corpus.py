"""Comparisons on a corpus: windows, figures and their errors, verdicts, and a run that goes on."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitparity import cli
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.corpus import measure
from bitparity.corpus.estimate import Blocks, Estimate
from bitparity.corpus.layers import LayerDifference, grows_most
from bitparity.corpus.noise import sampled_windows
from bitparity.corpus.result import CorpusResult
from bitparity.corpus.rows import ROW, RowFile
from bitparity.corpus.run import Corpus, compare_corpus
from bitparity.corpus.windows import Plan, as_ids
from bitparity.engine import Floats
from bitparity.errors import BadInput, NotCompared
from bitparity.model import open_model
from bitparity.noise.verdict import Verdict
from bitparity.report.corpus import corpus_headline, corpus_remarks, with_error
from bitparity.settings import Settings, read_settings

Make = Callable[..., Any]
IDS = tuple((7 * i + 3) % 64 for i in range(50))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(read_settings({}), cache_dir=tmp_path / "cache")


@pytest.fixture
def run(path_of: Callable[..., Path], settings: Settings) -> Callable[..., CorpusResult]:
    """Compare two engines on IDS, in windows of 16 with a stride of 8."""
    model = open_model(path_of(arch="llama"))

    def run(expected: Any, actual: Any, *, chunks: str = "7", **options: Any) -> CorpusResult:
        comparison = Comparison(
            Side(expected, model), Side(actual, model), (), settings, chunking=Chunking(chunks)
        )
        corpus = Corpus("ids", Prompt(tokens=IDS), 16, 8)
        return compare_corpus(comparison, corpus, **{"limit": 1e-4, **options})

    return run


def noisy(position: int, row: Floats) -> Floats:
    """Moves every logit, by another amount at every position."""
    rng = np.random.default_rng(position)
    return row + rng.normal(0, 0.05, row.size).astype(np.float32)


@given(n=st.integers(2, 60), prefix=st.integers(0, 2), window=st.integers(3, 12), stride=st.integers(1, 12))
def test_every_target_is_scored_once_after_the_token_before_it(
    n: int, prefix: int, window: int, stride: int
) -> None:
    stride = min(stride, window - prefix)
    plan = Plan(as_ids(range(100, 100 + n)), as_ids(range(prefix)), window, stride)
    windows = [plan.at(index) for index in range(len(plan.starts))]
    scored = [int(target) for each in windows for target in each.targets]
    assert scored == list(range(100 if prefix else 101, 100 + n))
    assert plan.scored == [len(each.targets) for each in windows]
    assert min(plan.scored) >= 1
    for index, each in enumerate(windows):
        assert len(each.tokens) <= window
        fed = each.tokens[each.first : each.first + len(each.targets)]
        before_first = prefix - 1 if prefix else -1
        for token, target in zip(fed, each.targets, strict=True):
            assert token == (target - 1 if target > 100 else before_first)
        if index:
            assert each.first >= window - stride - 1, "less context than a stride leaves"


@pytest.mark.parametrize(("n", "window", "stride"), [(1, 4, 2), (9, 4, 5), (9, 4, 0)])
def test_windows_that_predict_nothing_are_refused(n: int, window: int, stride: int) -> None:
    with pytest.raises(BadInput, match=r"tokens, of which none|does not fit a window"):
        Plan(as_ids(range(n)), as_ids([]), window, stride)


def test_error_of_a_mean_is_the_spread_of_means_over_texts() -> None:
    """Positions of a block have much in common, so the error of independent positions would be too small."""
    rng = np.random.default_rng(5)
    numbers = np.repeat(np.arange(40, dtype=np.int32), 25)
    blocks = Blocks.of(numbers)
    estimates = []
    for _ in range(400):
        values = rng.normal(0, 1, 40)[numbers] + rng.normal(0, 1, numbers.size)
        estimates.append(blocks.mean(values))
    spread = float(np.std([estimate.value for estimate in estimates]))
    told = float(np.mean([estimate.error for estimate in estimates]))
    assert told == pytest.approx(spread, rel=0.1)
    assert told > 3 * math.sqrt(2 / numbers.size)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_error_of_a_percentile_is_its_spread_over_texts(share: float) -> None:
    rng = np.random.default_rng(6)
    numbers = np.repeat(np.arange(60, dtype=np.int32), 20)
    blocks = Blocks.of(numbers)
    estimates = [
        blocks.percentile(rng.normal(0, 1, 60)[numbers] + rng.normal(0, 1, numbers.size), share)
        for _ in range(300)
    ]
    spread = float(np.std([estimate.value for estimate in estimates]))
    assert float(np.mean([estimate.error for estimate in estimates])) == pytest.approx(spread, rel=0.15)


def test_blocks_of_unequal_length_count_by_their_length() -> None:
    values = np.array([1.0, 1.0, 1.0, 4.0])
    mean = Blocks.of(np.array([0, 0, 0, 1], np.int32)).mean(values)
    assert mean.value == 1.75
    # residuals are 3 - 3 * 1.75 and 4 - 1.75
    assert mean.error == pytest.approx(math.sqrt(2 * (2.25**2 + 2.25**2)) / 4)


def test_error_of_one_block_is_not_known() -> None:
    blocks = Blocks.of(np.zeros(9, np.int32))
    assert math.isnan(blocks.mean(np.arange(9.0)).error)
    assert math.isnan(blocks.percentile(np.arange(9.0), 0.5).error)


def test_figures_equal_an_independent_computation(run: Make, fake_engine: Make) -> None:
    """Ten lines of NumPy over the logits of whole windows, which share nothing with the harness."""
    result: CorpusResult = run(fake_engine(), fake_engine("other", noisy))
    kl, delta, nll, same = [], [], [], []
    for start in range(0, 48, 8):
        ids = IDS[start : start + 16]
        engines = fake_engine(), fake_engine("other", noisy)
        sessions = [engine.open(Path(), context=16, threads=1) for engine in engines]
        e, a = (np.exp(s.prefill(ids).astype(np.float64)) for s in sessions)
        e, a = e / e.sum(1, keepdims=True), a / a.sum(1, keepdims=True)
        for j in range(0 if start == 0 else 8, min(len(ids), 49 - start)):
            target = IDS[start + j + 1]
            kl.append(float((e[j] * np.log(e[j] / a[j])).sum()))
            delta.append(a[j, target] - e[j, target])
            nll.append((-np.log(e[j, target]), -np.log(a[j, target])))
            same.append(e[j].argmax() == a[j].argmax())
    expected, actual = np.array(nll).T
    found = {name: estimate.value for name, estimate in result.figures.items()}
    assert result.counts["compared"] == len(kl) == 49
    assert found["kl_mean"] == pytest.approx(np.mean(kl), rel=1e-9)
    assert found["kl_maximum"] == pytest.approx(np.max(kl), rel=1e-9)
    assert found["kl_p90"] == pytest.approx(np.quantile(kl, 0.9), rel=1e-9)
    assert found["delta_p_rms"] == pytest.approx(np.sqrt(np.mean(np.square(delta))), rel=1e-9)
    assert found["delta_p_p5"] == pytest.approx(np.quantile(delta, 0.05), rel=1e-9)
    assert found["perplexity_expected"] == pytest.approx(np.exp(expected.mean()), rel=1e-12)
    assert found["perplexity_ratio"] == pytest.approx(np.exp((actual - expected).mean()), rel=1e-12)
    assert found["same_best"] == np.mean(same)
    assert result.worst[0].kl == pytest.approx(np.max(kl), rel=1e-9)


@pytest.mark.parametrize("chunks", ["prefill", "decode", "3", "mixed"])
def test_chunks_change_nothing_for_an_engine_to_which_they_mean_nothing(
    run: Make, fake_engine: Make, chunks: str
) -> None:
    by_sevens = run(fake_engine(), fake_engine("other", noisy)).figures
    assert run(fake_engine(), fake_engine("other", noisy), chunks=chunks).figures == by_sevens


def test_equal_engines_agree_and_leave_no_rows(run: Make, fake_engine: Make, settings: Settings) -> None:
    result: CorpusResult = run(fake_engine(), fake_engine("other"))
    assert (result.verdict, result.exit_code) == (Verdict.AGREE, 0)
    assert corpus_headline(result) == "other and fake agree at all 49 positions"
    assert result.figures["perplexity_ratio"] == Estimate(1.0, 0.0)
    assert not list((settings.cache_dir / "corpus").iterdir())


def test_planted_difference_is_diverged_where_it_is(run: Make, fake_engine: Make) -> None:
    def alter(position: int, row: Floats) -> Floats:
        return row * np.float32(-1 if position == 12 else 1)

    result: CorpusResult = run(fake_engine(), fake_engine("other", alter))
    assert (result.verdict, result.exit_code) == (Verdict.DIVERGED, 1)
    first = result.first_divergence
    assert first is not None
    assert (first.window, first.position, first.token, first.target) == (0, 12, IDS[12], IDS[13])
    assert result.counts["diverged"] == 5, "one a window, of which the last is too short"
    assert {(row.position, row.verdict) for row in result.worst[:5]} == {(12, "diverged")}
    assert "diverged at 5 of 49 positions; the first is position 12 of window 0: " in corpus_headline(result)


def test_logits_that_are_not_finite_are_a_failure(run: Make, fake_engine: Make) -> None:
    def alter(position: int, row: Floats) -> Floats:
        return np.full_like(row, np.nan) if position == 9 else row

    result: CorpusResult = run(fake_engine(), fake_engine("other", alter))
    assert result.exit_code == 5
    assert math.isnan(result.figures["kl_mean"].value)
    assert result.as_dict()["figures"]["kl_mean"]["value"] is None


def test_run_that_broke_off_goes_on_and_gives_the_same(
    run: Make, fake_engine: Make, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9: whole windows are kept, what was written of the next one is cut off."""
    whole: CorpusResult = run(fake_engine(), fake_engine("other", noisy))
    measured: list[int] = []

    def measure_some(*arguments: Any) -> Any:
        measured.append(arguments[3])
        if len(measured) == 4:
            raise KeyboardInterrupt
        return rows_of(*arguments)

    rows_of = measure._rows
    monkeypatch.setattr(measure, "_rows", measure_some)
    with pytest.raises(KeyboardInterrupt):
        run(fake_engine(), fake_engine("other", noisy))
    (rows,) = (settings.cache_dir / "corpus").glob("*/rows")
    with rows.open("ab") as file:
        file.write(b"half a row, and more than one of it" * 7)
    again: CorpusResult = run(fake_engine(), fake_engine("other", noisy))
    assert measured == [0, 1, 2, 3, 3, 4, 5]
    assert (again.figures, again.worst, again.counts) == (whole.figures, whole.worst, whole.counts)


def test_crash_keeps_the_windows_before_it(run: Make, fake_engine: Make, settings: Settings) -> None:
    windows = iter(range(9))

    def alter(position: int, row: Floats) -> Floats:
        if position == 0 and next(windows) == 2:
            raise ValueError("a bug in the third window")
        return row

    result: CorpusResult = run(fake_engine(), fake_engine("other", alter))
    assert (result.verdict, result.exit_code) == (Verdict.ENGINE_FAILED, 5)
    assert (result.counts["compared"], result.counts["asked"]) == (24, 49)
    assert "24 of 49 positions were compared" in corpus_headline(result)
    assert "what was compared is kept: the same command goes on where it was" in corpus_remarks(result)
    mended: CorpusResult = run(fake_engine(), fake_engine("other"))
    assert mended.counts["compared"] == 49


@pytest.mark.parametrize(
    ("size", "verdict", "shifted"),
    [(1.0, Verdict.NOISE, False), (2.5, Verdict.NOISE, True), (40.0, Verdict.DIVERGED, True)],
)
def test_positions_are_judged_by_the_noise_along_the_corpus(
    run: Make, fake_engine: Make, size: float, verdict: Verdict, shifted: bool
) -> None:
    """Rounding moves this reference by 1e-3 a logit, and the candidate is `size` times as far from it."""
    reference = fake_engine()
    reference.perturbed = lambda seed: fake_engine("fake", moved(1e-3, seed))
    candidate = fake_engine("other", moved(size * 1e-3, 7))
    result: CorpusResult = run(reference, candidate, limit=None)
    assert (result.verdict, result.exit_code) == (verdict, int(verdict is Verdict.DIVERGED))
    assert result.noise_floor is not None
    assert len(result.noise_floor["comparisons"][-1]["positions"]) == 16, "those of one window"
    (line,) = (line for line in corpus_remarks(result) if line.startswith("rounding alone moves fake"))
    assert ("noise makes no such shift" in line) == shifted


def moved(size: float, seed: int) -> Callable[[int, Floats], Floats]:
    def alter(position: int, row: Floats) -> Floats:
        rng = np.random.default_rng([seed, position])
        return row + rng.normal(0, size, row.size).astype(np.float32)

    return alter


@pytest.mark.parametrize(("windows", "sampled"), [(1, [0]), (16, [0]), (40, [0, 20, 39])])
def test_noise_is_measured_at_a_sixteenth_of_the_windows(windows: int, sampled: list[int]) -> None:
    plan = Plan(as_ids(range(9 + 4 * (windows - 1))), as_ids([]), 8, 4)
    assert len(plan.starts) == windows
    assert sampled_windows(plan) == sampled


def test_engine_that_hides_logits_is_refused(run: Make, fake_engine: Make) -> None:
    engine = fake_engine("server")
    session = engine.open(Path(), context=16, threads=1)
    info = replace(session.info, most_probable=10)
    engine.open = lambda *_, **__: SimpleNamespace(info=info, close=lambda: None)
    with pytest.raises(NotCompared, match="does not give the logits of all tokens"):
        run(fake_engine(), engine)


def test_rows_of_another_run_are_dropped(tmp_path: Path) -> None:
    first = RowFile(tmp_path, {"engine": "a"}, [2, 3])
    assert first.begin() == 0
    first.append(np.zeros(2, ROW))
    assert RowFile(tmp_path, {"engine": "a"}, [2, 3]).begin() == 1
    assert RowFile(tmp_path, {"engine": "b"}, [2, 3]).begin() == 0


@pytest.mark.parametrize(
    ("medians", "layer"),
    [([0.0, 0.0, 1e-7, 2e-7], 2), ([1e-8, 1e-3, 2e-3], 1), ([1e-8], None), ([0.0, 0.0], None)],
)
def test_layer_where_the_engines_part_is_named(medians: list[float], layer: int | None) -> None:
    found = grows_most([LayerDifference(i, median, median, 0) for i, median in enumerate(medians)])
    assert (None if found is None else found.layer) == layer


@pytest.mark.parametrize(
    ("estimate", "is_share", "text"),
    [
        (Estimate(12.3456, 0.0123), False, ("12.346", "± 0.012")),
        (Estimate(1.2344e-6, 3.2e-8), False, ("1.234e-06", "± 0.032e-06")),
        (Estimate(0.98765, 0.00123), True, ("98.77 %", "± 0.12 %")),
        (Estimate(0.5), False, ("0.5", "")),
        (Estimate(1.0, 0.0), False, ("1", "± 0")),
        (Estimate(-2e-9, 5e-8), False, ("-0.2e-08", "± 5.0e-08")),
        (Estimate(math.nan, math.nan), False, ("nan", "")),
    ],
)
def test_value_has_as_many_digits_as_its_error_leaves(
    estimate: Estimate, is_share: bool, text: tuple[str, str]
) -> None:
    assert with_error(estimate, is_share=is_share) == text


def bitparity(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bitparity", "compare", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_command_compares_a_text_and_writes_json(
    path_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text("a b c d e f g h i j k l m n o p")
    words = [str(path_of(arch="llama")), "--reference", "oracle", "--candidate", "oracle"]
    words += ["--corpus", str(tmp_path / "text.txt"), "--window", "8", "--json", str(tmp_path / "c.json")]
    assert bitparity(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "AGREE  oracle and oracle agree at all" in said
    data = json.loads((tmp_path / "c.json").read_text())
    assert data["corpus"]["window"] == 8
    assert data["corpus"]["stride"] == 4
    assert data["figures"]["same_best"] == {"value": 1.0, "error": 0.0}
    assert data["made"]["host"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--prompt", "b"], "--prompt means nothing with --corpus"),
        (["--steps", "2"], "--steps means nothing with --corpus"),
        (["--html", "page.html"], "--html means nothing with --corpus"),
        (["--window", "8", "--stride", "9"], "a stride of 9 does not fit a window of 8"),
    ],
)
def test_options_that_do_not_fit_a_corpus_are_refused(
    path_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.tokens").write_text("5," * 20)
    words = [str(path_of(arch="llama")), "--reference", "oracle", "--candidate", "oracle"]
    assert bitparity(monkeypatch, *words, "--corpus", "ids.tokens", *options) == 2
    assert says in capsys.readouterr().err
