"""A benchmark on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from bitparity.bench.result import BenchResult, Decode
from bitparity.bench.samples import CONFIDENCE, Samples
from bitparity.report.console import standard_output
from bitparity.report.words import describe_fingerprint, plural

BUSY = 0.5  # load average a processor: from here on an engine had to share its processors half of the time
_MB, _GB = 1e6, 1e9


def print_bench(result: BenchResult, console: Console | None = None) -> None:
    console = console or standard_output()
    for lane in result.lanes:
        about = f"{lane.label}: {describe_fingerprint(lane.fingerprint, short=True)}"
        console.print(about, markup=False, highlight=False)
        console.print(f"    {lane.model}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(_table(result))
    console.print()
    for line in _remarks(result):
        console.print(line, markup=False, highlight=False, soft_wrap=line.startswith("repeat: "))


def _table(result: BenchResult) -> Table:
    """A row for every measurement and lane, so that any number of engines fits the width of a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "engine"):
        table.add_column(name, no_wrap=True)
    for name in ("median", "interval", "ratio", "interval", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, rows in _groups(result):
        for index, (lane, cells) in enumerate(zip(result.lanes, rows, strict=True)):
            table.add_row("" if index else name, lane.label, *cells)
    return table


def _groups(result: BenchResult) -> Iterator[tuple[str, list[list[str]]]]:
    """What was measured, and the cells of every lane."""
    lanes = result.lanes
    yield "load, s", [_known(lane.load_seconds) for lane in lanes]
    for n in lanes[0].prefill_tokens_per_second:
        yield f"prefill {n}", _rated(result, [lane.prefill_tokens_per_second[n] for lane in lanes])
    for depth in lanes[0].decode:
        decodes = [lane.decode[depth] for lane in lanes]
        rows = _rated(result, [decode.tokens_per_second for decode in decodes])
        shares = [f"{decode.share:.0%}" for decode in decodes]
        yield f"decode at {depth}", [[*row, share] for row, share in zip(rows, shares, strict=True)]
    yield "weights a token, MB", [[f"{lane.weight_bytes_per_token / _MB:,.1f}"] for lane in lanes]
    yield "peak memory, MB", [[_megabytes(lane.peak_memory)] for lane in lanes]


def _rated(result: BenchResult, rates: Sequence[Samples]) -> list[list[str]]:
    """Median and interval of the rate, and of its ratio to the reference's in the same round."""
    reference = rates[[lane.label for lane in result.lanes].index(result.reference)]
    return [[*_known(rate), *_ratio(rate, reference)] for rate in rates]


def _ratio(rate: Samples, reference: Samples) -> list[str]:
    """Nothing for the reference itself, nor where too few repetitions say how well the ratio is known."""
    ratio = rate.over(reference)
    if rate is reference or ratio.interval is None:
        return ["", ""]
    low, high = ratio.interval
    return [f"{ratio.median:.2f}x", f"{low:.2f}..{high:.2f}"]


def _remarks(result: BenchResult) -> Iterator[str]:
    """What the figures mean, and what limits their meaning."""
    yield (
        f"medians of {plural(result.repetitions, 'repetition')} in turns, after a warm-up, in tokens/s; "
        f"{plural(result.decode_tokens, 'token')} decoded at each depth; ratios are to "
        f"{result.reference}, round by round; memory: the share of the read bandwidth that the weights take"
    )
    if result.lanes[0].load_seconds.interval is None:
        yield "too few repetitions to know an interval, so there are no ratios; --repetitions 6 gives them"
    else:
        yield f"intervals hold the true median with a confidence of {CONFIDENCE:.0%}"
    if result.load_average > BUSY * result.processors:
        yield (
            f"the machine was busy: {result.load_average:.1f} processes wanted its "
            f"{plural(result.processors, 'processor')} before the run, so these times say little"
        )
    decodes = [decode for lane in result.lanes for decode in lane.decode.values()]
    if decodes:
        yield _bandwidth(decodes, result.processors)
    cache = result.last_level_cache
    if decodes and cache and any(lane.weight_bytes_per_token < cache for lane in result.lanes):
        yield (
            f"weights fit in the last-level cache of {cache / _MB:,.0f} MB, so memory does not limit decoding"
        )
    if not result.agreement:
        yield "a single engine: its outputs were compared with nothing"
    for label, sentence in result.agreement.items():
        yield sentence if sentence.startswith(f"{label} and ") else f"{label}: {sentence}"
    if result.command:
        yield f"repeat: {result.command}"


def _bandwidth(decodes: list[Decode], processors: int) -> str:
    medians = [decode.read_bandwidth.median / _GB for decode in decodes]
    low = min(decode.read_bandwidth.min for decode in decodes) / _GB
    high = max(decode.read_bandwidth.max for decode in decodes) / _GB
    middle = sorted(medians)[len(medians) // 2]
    return (
        f"read bandwidth {middle:.1f} ({low:.1f}..{high:.1f}) GB/s, {plural(processors, 'processor')}, "
        "measured in the same turns as decode"
    )


def _known(samples: Samples) -> list[str]:
    """The median, and how well it is known."""
    if samples.interval is None:
        return [_short(samples.median), ""]
    low, high = samples.interval
    return [_short(samples.median), f"{_short(low)}..{_short(high)}"]


def _short(value: float) -> str:
    """Four digits or so."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _megabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / _MB:,.1f}"
