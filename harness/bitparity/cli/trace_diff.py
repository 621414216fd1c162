"""`bitparity trace-diff`: compare two recorded traces."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bitparity.cli.output import OutputFile
from bitparity.output import write_json
from bitparity.stage_map import read_stage_map
from bitparity.trace import RowDiff, RowKey, TraceDiff, diff_traces, read_trace

_PATH = click.Path(path_type=Path)


@click.command("trace-diff")
@click.argument("expected", type=_PATH)
@click.argument("actual", type=_PATH)
@click.option(
    "--stage-map",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with lines `name = stage`: from the names in a log to bitparity's.",
)
@click.option("--limit", type=click.IntRange(0), default=5, show_default=True, help="Unequal rows to list.")
@click.option("--json", "json_file", type=OutputFile(), help="Write all here.")
def command(expected: Path, actual: Path, stage_map: Path | None, limit: int, json_file: Path | None) -> None:
    """Compare two traces, position by position and stage by stage, whatever the chunking of each.

    EXPECTED and ACTUAL are folders of `bitparity trace`, .jsonl files, folders of BitNet.rs .trace files, or
    logs in which a tracer printed statistics, `name pos=0 layer=3 dim=256 sum=… ss=… first=…` a line.

    Exits with 0 when all rows that both can have are equal, 1 when rows differ, are missing or extra, 2 when
    a trace cannot be read, and 4 when nothing could be compared.
    """
    names = None if stage_map is None else read_stage_map(stage_map)
    diff = diff_traces(*(read_trace(path, names) for path in (expected, actual)))
    if json_file is not None:
        write_json(json_file, diff.as_dict())
    for line in describe(diff, limit):
        click.echo(line)
    sys.exit(diff.exit_code)


def describe(diff: TraceDiff, limit: int) -> list[str]:
    """The diff in lines: the outcome, where it begins, a table of stages, rows, and what is missing."""
    lines = [_outcome(diff)]
    first = diff.first_divergence
    if first is not None:
        lines.append(f"first divergence in graph order: {describe_row(first)}")
    if diff.unequal:
        lines += ["", *_table(diff), ""]
        lines += [f"  {describe_row(row)}" for row in diff.unequal[:limit]]
        if len(diff.unequal) > limit:
            lines.append(
                f"  and {len(diff.unequal) - limit:,} more; --limit shows them, --json FILE keeps all"
            )
    lines += _absent(diff.only_expected, "expected") + _absent(diff.only_actual, "actual")
    lines += [f"damaged: {damage}" for damage in diff.damage]
    return lines


def describe_row(row: RowDiff) -> str:
    """One row in a line, with its distance as finely as the traces allow."""
    where = describe_key(row.key)
    if row.kind == "missing":
        return f"{where}: missing in the actual trace"
    if row.kind == "extra":
        return f"{where}: not in the expected trace"
    if row.kind == "shape":
        return f"{where}: another shape"
    if row.statistics is not None:
        return f"{where}: what was printed differs by {row.statistics:.3g} (relative)"
    if row.relative_l2 is not None:
        return f"{where}: relative L2 {row.relative_l2:.3g}, largest difference {row.max_abs:.3g}"
    if row.rms_expected is None or row.rms_actual is None:
        return f"{where}: another hash"
    return f"{where}: another hash, RMS {row.rms_actual:.9g} instead of {row.rms_expected:.9g}"


def describe_key(key: RowKey) -> str:
    block = f"layer {key.layer} " if key.layer >= 0 else ""
    again = f" (run {key.occurrence + 1} of that position)" if key.occurrence else ""
    return f"position {key.position}, {block}{key.stage}{again}"


def _outcome(diff: TraceDiff) -> str:
    counts = diff.counts()
    unequal = ", ".join(
        f"{counts[kind]:,} {word}"
        for kind, word in (
            ("differs", "differ"),
            ("shape", "have another shape"),
            ("missing", "are missing"),
            ("extra", "are extra"),
        )
        if counts[kind]
    )
    names = f"{diff.expected.engine} ({diff.expected.path}) and {diff.actual.engine} ({diff.actual.path})"
    if diff.is_equal:
        return f"equal: {names}, {diff.compared:,} rows"
    if not diff.unequal:
        return f"not compared in full: {names}, {diff.compared:,} rows are equal, but the files are damaged"
    return f"different: {names}, of {diff.compared:,} rows compared {unequal}"


def _table(diff: TraceDiff) -> list[str]:
    """One line a stage, over all layers and positions."""
    rows = [("stage", "rows", "differ", "missing", "extra", "worst", "first unequal")]
    for stage in diff.stages:
        worst = stage.worst.size if stage.worst else None
        rows.append(
            (
                stage.stage,
                f"{stage.rows:,}",
                f"{stage.differing:,}",
                f"{stage.missing:,}",
                f"{stage.extra:,}",
                "" if worst is None else f"{worst:.2e}",
                "" if stage.first is None else describe_key(stage.first),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _absent(stages: Sequence[str], side: str) -> list[str]:
    return [f"only the {side} trace has: {', '.join(stages)}"] if stages else []
