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


def printed(result: BenchResult) -> str:
    text = StringIO()
    print_bench(result, Console(file=text, width=120))
    return text.getvalue()


def test_row_has_median_range_and_ratio_to_the_reference() -> None:
    lines = printed(RESULT).splitlines()
    names = ("load", "prefill 64", "decode at 1024", "    of read bandwidth", "peak memory")
    rows = {name.strip(): next(line.split() for line in lines if line.startswith(name)) for name in names}
    assert rows["prefill 64"][-5:] == ["30.0", "(15.0..60.0)", "1.50x", "20.0", "(10.0..40.0)"]
    assert rows["decode at 1024"][-5:] == ["30.0", "(15.0..60.0)", "1.50x", "20.0", "(10.0..40.0)"]
    assert rows["of read bandwidth"][-2:] == ["75%", "50%"]
    assert rows["load"][-2:] == ["0.500", "(0.250..1.000)"]
    assert rows["peak memory"][-2:] == ["120.0", "unknown"]


def test_remarks_say_how_it_was_measured() -> None:
    said = printed(RESULT)
    assert "medians (min..max) of 5 repetitions in turns, after a warm-up" in said
    assert "read bandwidth 2.0 (1.0..4.0) GB/s, 2 processors" in said
    assert "native and other agree at all 24 positions" in said
    assert "repeat: bitparity bench" in said
    assert "busy" not in said
    assert "fit in the last-level cache" not in said


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"load_average": 2 * BUSY + 0.1}, "the machine was busy: 1.1 processes wanted its 2 processors"),
        ({"last_level_cache": 51 * MB}, "weights fit in the last-level cache of 51 MB"),
        ({"agreement": {}}, "a single engine: its outputs were compared with nothing"),
    ],
)
def test_remark_warns_of_what_weakens_the_figures(change: dict[str, object], remark: str) -> None:
    assert remark in printed(replace(RESULT, **change))  # type: ignore[arg-type]
