"""What the table of a benchmark says, and which remarks it makes when."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bitparity.bench.result import BenchResult, Decode, LaneResult, Spread
from bitparity.bench.table import BUSY, print_bench
from bitparity.engine import Fingerprint

MB = 1_000_000


def lane(label: str, rate: float, peak: int | None) -> LaneResult:
    spread = Spread(rate, rate / 2, rate * 2)
    decode = Decode(spread, Spread(2e9, 1e9, 4e9), share=rate * 50 * MB / 2e9)
    return LaneResult(
        label=label,
        model=f"{label}.gguf",
        blake3="00",
        fingerprint=Fingerprint(label, "1", "gcc", "avx2", "avx2", 2, "f16").as_dict(),
        weight_bytes_per_token=50 * MB,
        load_seconds=Spread(0.5, 0.25, 1.0),
        prefill_tokens_per_second={64: spread},
        decode={1024: decode},
        peak_memory=peak,
    )


RESULT = BenchResult(
    lanes=(lane("native", 30.0, 120 * MB), lane("other", 20.0, None)),
    reference="other",
    agreement={"native": "native and other agree at all 24 positions"},
    repetitions=5,
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
def test_rows_have_median_range_ratio_and_share(width: int) -> None:
    assert rows_of(RESULT, "prefill 64, tokens/s", width) == [
        ["native", "30.0", "15.0..60.0", "1.50x"],
        ["other", "20.0", "10.0..40.0", "1.00x"],
    ]
    assert rows_of(RESULT, "decode at 1024, tokens/s", width) == [
        ["native", "30.0", "15.0..60.0", "1.50x", "75%"],
        ["other", "20.0", "10.0..40.0", "1.00x", "50%"],
    ]
    assert rows_of(RESULT, "load, s", width) == [
        ["native", "0.500", "0.250..1.000"],
        ["other", "0.500", "0.250..1.000"],
    ]
    assert rows_of(RESULT, "peak memory, MB", width) == [["native", "120.0"], ["other", "unknown"]]


def test_remarks_say_how_it_was_measured() -> None:
    said = printed(RESULT)
    assert "medians (min..max) of 5 repetitions in turns, after a warm-up" in said
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
