"""Reports: the same sentences everywhere, long runs cut politely, and a page that stands alone."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from bitparity.blame.engines import BlameReport, Difference, EngineBlame, StageSummary
from bitparity.blame.judge import NotJudged
from bitparity.compare.metrics import METRICS, compare_logits
from bitparity.compare.result import ComparisonResult, ModelFile, PositionResult, PromptSpan
from bitparity.noise import verdict
from bitparity.noise.criterion import Criterion, Exactness, FixedLimit, MeasuredNoise
from bitparity.noise.floor import Levels, NoiseFloor, SelfComparison
from bitparity.noise.verdict import PositionVerdict, Verdict
from bitparity.report import html, terminal, words
from bitparity.report.blame import print_blame
from bitparity.report.chart import HEIGHT, TOP, make_chart
from bitparity.report.failure import SAMPLES, explain, repeat_command
from bitparity.report.html import render_page
from bitparity.report.terminal import FIRST_ROWS, ROWS, choose_rows, print_result
from bitparity.stages import STAGE_NAMES

PRINT = {
    "engine": "ref",
    "version": "1",
    "compiler": "gcc",
    "isa": "avx2",
    "kernels": "k",
    "threads": 1,
    "kv_type": "f16",
    "details": {},
}


def result_of(
    sizes: list[float], criterion: Criterion | None = None, asked: int | None = None
) -> ComparisonResult:
    """One row a size; the size is how far the logits are moved, NaN makes the actual side NaN."""
    rng = np.random.default_rng(0)
    expected, direction = rng.normal(0, 3, 100), rng.normal(0, 1, 100)
    rows = tuple(
        PositionResult(
            0, i, 7, compare_logits(expected, expected + s * direction), PositionVerdict(Verdict.AGREE, "")
        )
        for i, s in enumerate(sizes)
    )
    result = ComparisonResult(
        model=ModelFile("m.gguf", "00"),
        candidate_model=ModelFile("m.gguf", "00"),
        reference=PRINT,
        candidate=PRINT | {"engine": "cand"},
        chunks="prefill",
        prompts=(PromptSpan("a < b", 0, len(sizes) if asked is None else asked, 0),),
        positions=rows,
        verdict=Verdict.AGREE,
        exit_code=0,
        criterion="",
        limits={},
        command="bitparity compare m.gguf",
    )
    return result.judged_by(criterion or FixedLimit())


def noise(size: float, rounding: float = 0.1) -> NoiseFloor:
    """The reference's distance from itself, and how much of it rounding explains."""
    own, explained = (Levels(v, one_minus_cosine=v**2 / 2, kl=1, max_abs=1) for v in (size, rounding))
    return NoiseFloor(
        "ref",
        (SelfComparison("self", "again", (own,), {}), SelfComparison("rounding", "moved", (explained,), {})),
    )


def printed(result: ComparisonResult, width: int = 120) -> str:
    out = io.StringIO()
    print_result(result, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (result_of([0, 0]), "cand and ref agree at all 2 positions"),
        (result_of([0, 9, 9]), "cand and ref diverged at 2 of 3 positions; the first is position 1: "),
        (result_of([0], asked=3), "only 1 of 3 positions were compared"),
        (result_of([]), "only 0 of 0 positions were compared"),
        (
            replace(result_of([0], asked=2), verdict=Verdict.ENGINE_FAILED, failure="cand crashed"),
            "cand crashed; 1 of 2 positions were compared before",
        ),
        (
            result_of([0, 1e-2], MeasuredNoise(noise(1e-2))),
            "cand and ref differ by no more than the reference's own noise at all 2 positions "
            "(1 agree, 1 noise)",
        ),
        (
            replace(result_of([0], MeasuredNoise(noise(0.4, 0))), noise_floor=noise(0.4, 0).as_dict()),
            "nothing can be judged: ref differs from itself (again) by relative L2 0.4, "
            "of which rounding explains 0",
        ),
        (
            replace(result_of([0]), verdict=Verdict.DIVERGED, exit_code=1),
            "cand and ref differ by no more than noise at all 1 position, but one of them is wrong",
        ),
    ],
)
def test_every_verdict_has_its_sentence_in_every_report(result: ComparisonResult, sentence: str) -> None:
    assert words.headline(result).startswith(sentence)
    assert sentence in printed(result, 400)
    assert sentence.replace("'", "&#39;") in render_page(result)


def test_near_tie_is_marked() -> None:
    result = result_of([0.0])
    tie = replace(result.positions[0].judged, is_near_tie=True)
    result = replace(result, positions=(replace(result.positions[0], judged=tie),))
    assert words.near_ties(result) is not None
    assert "agree, near tie" in printed(result)
    assert words.near_ties(result_of([0.0])) is None


def test_reference_that_fails_the_fixed_limit_itself_is_told_so_and_no_other() -> None:
    def said(own: float) -> str | None:
        result = result_of([0.0], MeasuredNoise(noise(own)))
        return words.fixed_limit(replace(result, noise_floor=noise(own).as_dict()))

    assert (said(1e-1) or "").startswith("ref fails the fixed limit of 0.0001 on 1 - cosine")
    assert said(1e-3) is None  # which passes it


def test_long_run_shows_its_first_its_divergence_and_its_worst() -> None:
    sizes = [1e-9] * 200
    sizes[150], sizes[160], sizes[170] = 0.001, 5.0, math.nan
    shown = choose_rows(result_of(sizes).positions)
    positions = [row.position for row in shown]
    assert len(shown) == ROWS
    assert positions[:FIRST_ROWS] == list(range(FIRST_ROWS))
    assert {150, 160, 170} <= set(positions)
    assert positions == sorted(positions)


def test_many_divergences_still_show_the_first() -> None:
    shown = choose_rows(result_of([0.0] * 50 + [float(i) for i in range(1, 101)]).positions)
    assert 50 in [row.position for row in shown]


LONG_ISA = (
    "sse3+ssse3+avx+avx2+f16c+fma+bmi2+avx512+avx512_vbmi+avx512_vnni+avx512_bf16+llamafile+openmp+repack"
)


@pytest.mark.parametrize(
    ("isa", "short"),
    [
        (LONG_ISA, "avx512+vbmi+vnni+bf16+llamafile+openmp+repack"),
        ("sse3+ssse3+avx+avx2+f16c+fma+bmi2", "avx2+f16c+fma+bmi2"),
        ("avx512f+bw+vl+dq+vnni", "avx512f+bw+vl+dq+vnni"),
        ("neon+arm_fma+dotprod", "neon+arm_fma+dotprod"),
        ("", ""),
    ],
)
def test_short_isa_leaves_out_what_is_included(isa: str, short: str) -> None:
    assert words.short_isa(isa) == short
    assert isa in words.describe_fingerprint(PRINT | {"isa": isa})


def long_lines(result: ComparisonResult) -> ComparisonResult:
    """With the identity of a real reference, and positions of a large vocabulary that were overturned."""
    rows = tuple(
        replace(
            row,
            prompt=i % 2,
            token=128_255,
            position=4_000 + i,
            metrics=replace(row.metrics, argmax_expected=127_000, argmax_actual=128_000 + i),
            judged=replace(row.judged, is_near_tie=True),
        )
        for i, row in enumerate(result.positions)
    )
    details = {"libraries": "c980bafdc692820e", "llama.cpp": "0c1e570", "flash_attention": "off"}
    reference = PRINT | {"engine": "llama.cpp", "version": "llama-cpp-python 0.3.36", "isa": LONG_ISA}
    spans = (PromptSpan("a", 0, 2, 0), PromptSpan("b", 2, 1, 0))
    return replace(result, reference=reference | {"details": details}, positions=rows, prompts=spans)


def test_80_columns_lose_nothing_and_break_no_word() -> None:
    result = long_lines(result_of([0.0, 0.123, math.nan]))
    assert not [line for line in printed(result, 80).splitlines() if "…" in line or len(line.rstrip()) > 80]
    one_line = printed(result, 10_000)
    for part in ("127000 / 128001", "agree, near tie", "avx512+vbmi+vnni+bf16", "libraries c980bafdc692820e"):
        assert part in printed(result, 80)
        assert part in one_line
    assert "max abs" in one_line
    assert f"reference  {words.describe_fingerprint(result.reference, short=True)}\n" in one_line


def test_command_to_repeat_is_never_broken() -> None:
    command = "bitparity compare " + " ".join(f"--tokens {n}" for n in range(30))
    assert f"repeat: {command}\n" in printed(replace(result_of([0.0]), command=command), 80)


@pytest.mark.parametrize(("size", "told"), [(0.75, True), (0.45, False)])
def test_shift_of_all_positions_within_the_noise_is_told(size: float, told: bool) -> None:
    """Logits of 3 are moved by `size`, that is by at most three times the reference's own 0.1 of them."""
    floor = noise(0.1)
    result = replace(result_of([size] * 40, MeasuredNoise(floor)), noise_floor=floor.as_dict())
    assert result.verdict is Verdict.NOISE
    said = words.systematic_shift(result)
    assert (said is not None) is told
    few = replace(result, positions=result.positions[:20])
    assert words.systematic_shift(few) is None


@pytest.mark.parametrize(("own", "verdict"), [(0.05, Verdict.DIVERGED), (0.1, Verdict.NOISE)])
def test_shift_beyond_what_a_position_may_be_reaches_the_verdict(own: float, verdict: Verdict) -> None:
    """All positions are within three times the largest noise, which a few of the reference's own have."""
    usual, largest = (Levels(level, level**2, kl=1, max_abs=1) for level in (own, 0.12))
    floor = NoiseFloor("ref", (SelfComparison("rounding", "moved", (*[usual] * 39, largest), {}),))
    result = replace(result_of([0.75] * 40), noise_floor=floor.as_dict()).judged_by(MeasuredNoise(floor))
    assert result.counts()["noise"] == 40
    assert result.verdict is verdict
    assert ("but not all together: the median difference of 40 positions is" in words.headline(result)) is (
        verdict is Verdict.DIVERGED
    )
    explained = replace(result, explanation={"holds": True, "names_a_mistake": False, "sentence": ""})
    assert explained.judged_by(MeasuredNoise(floor)).verdict is Verdict.NOISE


def test_divergence_without_blame_suggests_it() -> None:
    result = result_of([0.0, 1.0])
    assert result.verdict is Verdict.DIVERGED
    assert any("--blame" in sentence for sentence in words.remarks(result))
    judged = replace(result, blame={"sentence": "", "guilty": False})
    assert not any("--blame" in sentence for sentence in words.remarks(judged))
    assert not any("--blame" in sentence for sentence in words.remarks(result_of([0.0])))


def test_blame_fits_80_columns_whole() -> None:
    layers = [0, 1, 2, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29]
    engines = [
        EngineBlame(
            name,
            "bitnet.cpp",
            tuple(
                StageSummary(layer, stage, 3, 1e-3, 2e-7, 5e3, 1.0, 3)
                for stage in STAGE_NAMES
                for layer in layers
            ),
            (),
            (NotJudged(3, "attn_ctx", (0,), "its input was not recorded"),),
            ("ffn_sub_norm",),
        )
        for name in ("bitnet.cpp", "bitnet.cpp")
    ]
    report = BlameReport(engines[0], engines[1], (Difference(0, "attn_sub_norm", 1e-3, 1e-4, 3),))
    out = io.StringIO()
    print_blame(report, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert not [line for line in lines if "…" in line or len(line.rstrip()) > 80]
    for stage in STAGE_NAMES:
        row = next(line for line in lines if line.startswith(f"{stage} "))
        assert row.split()[1:3] == ["1.0e-03", "5e+03"]
    assert "0-2, 5" in out.getvalue()


def test_blame_shows_no_columns_of_an_engine_that_records_no_stages() -> None:
    summary = StageSummary(0, "ffn_act", 3, 1e-3, 2e-7, 5e3, 1.0, 0)
    tapped = EngineBlame("tapped", "plain", (summary,), (), (), ())
    untapped = EngineBlame("untapped", "plain", (), (), (), STAGE_NAMES)
    for report, rows in ((BlameReport(tapped, untapped, ()), 1), (BlameReport(untapped, untapped, ()), 0)):
        out = io.StringIO()
        print_blame(report, Console(file=out, width=80))
        assert out.getvalue().count("untapped records no stages") >= 1
        assert "did not record" not in out.getvalue()
        assert "difference" not in out.getvalue()
        assert out.getvalue().count("1.0e-03") == rows


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_page_stands_alone_and_shows_every_position() -> None:
    page = render_page(result_of([0.0, 0.1, math.nan], Exactness()))
    tags = Tags()
    tags.feed(page)
    assert [name for name, _ in tags.seen].count("circle") == 3
    assert not [a for _, a in tags.seen if "src" in a or not (a.get("href") or "#").startswith("#")]
    assert "a &lt; b" in page


def test_every_metric_of_the_table_is_in_every_report(monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(
        METRICS[0],
        title="new metric",
        heading="new col",
        in_reasons=True,
        text=lambda value: f"<{value:.6f}>",
    )
    for module in (terminal, html, verdict):
        monkeypatch.setattr(module, "METRICS", (*METRICS, new))
    result = result_of([0.1])
    value = new.text(result.positions[0].metrics.cosine)
    assert "new col" in printed(result, 10_000)
    assert value in printed(result, 10_000)
    assert "<th>new metric" in render_page(result)
    assert value.replace("<", "&lt;").replace(">", "&gt;") in render_page(result)
    assert "new metric is " in explain(result)
    assert {metric.name for metric in METRICS} <= set(result.as_dict()["positions"][0])
    assert {metric.name for metric in METRICS} <= set(result.to_frame().columns)


def test_chart_places_larger_errors_higher_and_nan_on_the_edge() -> None:
    dots = make_chart(result_of([0.0, 1e-6, 1e-2, math.nan], Exactness())).dots
    heights = [dot.y for dot in dots]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == TOP
    assert all(TOP <= y <= HEIGHT for y in heights)
    assert [dot.x for dot in dots] == sorted(dot.x for dot in dots)


def test_failure_text_has_five_samples_at_most_and_ends_with_the_command() -> None:
    lines = explain(result_of([9.0] * 20)).splitlines()
    assert lines[0].startswith("cand and ref diverged at 20 of 20 positions")
    assert sum(": 1 - cosine is" in line or "the best token is" in line for line in lines[1:]) == SAMPLES
    assert "  ... and 15 more" in lines
    assert lines[-1] == "repeat: bitparity compare m.gguf"


def test_repeat_command_is_quoted_for_a_shell() -> None:
    command = repeat_command("a b.gguf", ("llama.cpp", "native"), [1, 2], "decode", ["--steps", "3"])
    assert command == (
        "bitparity compare 'a b.gguf' --reference llama.cpp --candidate native "
        "--tokens 1,2 --chunks decode --steps 3"
    )
