"""What the table of a benchmark says, and which remarks it makes when."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bitparity.bench.result import BenchResult, Decode, LaneResult
from bitparity.bench.samples import Samples
from bitparity.bench.table import BUSY, print_bench
from bitparity.engine import Fingerprint

MB = 1_000_000


def lane(label: str, rate: float, peak: int | None) -> LaneResult:
    rates = Samples.of([rate * (1 + k / 100) for k in range(-3, 4)])
    decode = Decode(rates, Samples((1e9, 2e9, 4e9)), share=rate * 50 * MB / 2e9)
    return LaneResult(
        label=label,
        model=f"{label}.gguf",
        blake3="00",
        fingerprint=Fingerprint(label, "1", "gcc", "avx2", "avx2", 2, "f16").as_dict(),
        weight_bytes_per_token=50 * MB,
        load_seconds=Samples((0.25, 0.5, 1.0, 0.5, 0.5, 0.5, 0.5)),
        prefill_tokens_per_second={64: rates},
        decode={1024: decode},
        peak_memory=peak,
    )


RESULT = BenchResult(
    lanes=(lane("native", 30.0, 120 * MB), lane("other", 20.0, None)),
    reference="other",
    agreement={"native": "native and other agree at all 24 positions"},
    repetitions=7,
    decode_tokens=16,
    processors=2,
    last_level_cache=32 * MB,
    load_average=0.0,
    command="bitparity bench",
)


def printed(result: BenchResult, width: int = 120) -> str:
    text = StringIO()
    print_bench(result, Console(file=text, width=width))
    return text.getvalue()


def rows_of(result: BenchResult, name: str, width: int = 120) -> list[list[str]]:
    """Cells of the rows of one measurement, a row for each lane."""
    lines = printed(result, width).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(name))
    rows = lines[first : first + len(result.lanes)]
    return [rows[0].removeprefix(name).split(), *(row.split() for row in rows[1:])]


@pytest.mark.parametrize("width", [80, 120])
def test_rows_have_medians_ratios_and_their_intervals(width: int) -> None:
    assert rows_of(RESULT, "prefill 64", width) == [
        ["native", "30.0", "29.1..30.9", "1.50x", "1.50..1.50"],
        ["other", "20.0", "19.4..20.6"],
    ]
    assert rows_of(RESULT, "decode at 1024", width) == [
        ["native", "30.0", "29.1..30.9", "1.50x", "1.50..1.50", "75%"],
        ["other", "20.0", "19.4..20.6", "50%"],
    ]
    assert rows_of(RESULT, "load, s", width) == [
        ["native", "0.500", "0.250..1.000"],
        ["other", "0.500", "0.250..1.000"],
    ]
    assert rows_of(RESULT, "peak memory, MB", width) == [["native", "120.0"], ["other", "unknown"]]


def test_table_fits_a_terminal() -> None:
    assert max(len(line) for line in printed(RESULT, width=80).splitlines()) <= 80


def few(lane: LaneResult) -> LaneResult:
    """The same after five repetitions."""
    five = Samples(lane.decode[1024].tokens_per_second.values[:5])
    decode = {1024: replace(lane.decode[1024], tokens_per_second=five)}
    load = Samples(lane.load_seconds.values[:5])
    return replace(lane, load_seconds=load, prefill_tokens_per_second={}, decode=decode)


def test_there_is_no_ratio_without_an_interval() -> None:
    result = replace(RESULT, lanes=tuple(map(few, RESULT.lanes)), repetitions=5)
    assert rows_of(result, "decode at 1024") == [["native", "29.7", "75%"], ["other", "19.8", "50%"]]
    assert "too few repetitions to know an interval" in printed(result)


def test_remarks_say_how_it_was_measured() -> None:
    said = printed(RESULT)
    assert "medians of 7 repetitions in turns, after a warm-up, in tokens/s" in said
    assert "intervals hold the true median with a confidence of 95%" in said
    assert "read bandwidth 2.0 (1.0..4.0) GB/s, 2 processors" in said
    assert "\nnative and other agree at all 24 positions" in said
    assert "repeat: bitparity bench" in said
    assert "busy" not in said
    assert "fit in the last-level cache" not in said


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"load_average": 2 * BUSY + 0.1}, "the machine was busy: 1.1 processes wanted its 2 processors"),
        ({"last_level_cache": 51 * MB}, "weights fit in the last-level cache of 51 MB"),
        ({"agreement": {"native I2_S": "native and other agree"}}, "native I2_S: native and other agree"),
        ({"agreement": {}}, "a single engine: its outputs were compared with nothing"),
    ],
)
def test_remark_warns_of_what_weakens_the_figures(change: dict[str, object], remark: str) -> None:
    assert remark in printed(replace(RESULT, **change))  # type: ignore[arg-type]
