"""Why a parity assertion failed: coarse to fine, five samples at most, and the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bitparity.compare.result import ComparisonResult, PositionResult
from bitparity.report import words

SAMPLES = 5


def explain(result: ComparisonResult) -> str:
    """The text of a failure: the first line is for everybody, the rest for the engine's author."""
    counts = result.counts()
    rows = [row for row in result.positions if row.has_diverged]
    lines = [
        words.headline(result),
        "",
        f"  reference  {words.describe_fingerprint(result.reference, short=True)}",
        f"  candidate  {words.describe_fingerprint(result.candidate, short=True)}",
        f"  positions  {counts['compared']} compared of {counts['asked']} asked, as {result.chunks}: "
        f"{counts['agree']} agree, {counts['explained']} explained, {counts['noise']} noise, "
        f"{counts['diverged']} diverged",
        f"  criterion  {result.criterion}",
        *(f"  {_sample(result, row)}" for row in rows[:SAMPLES]),
        *([f"  ... and {len(rows) - SAMPLES} more"] if len(rows) > SAMPLES else []),
        *(f"  {line}" for line in words.remarks(result)),
        "",
        f"repeat: {result.command}",
    ]
    return "\n".join(lines)


def repeat_command(
    model: str, engines: tuple[str, str], tokens: Sequence[int], chunks: str, options: Sequence[str] = ()
) -> str:
    """The command line that compares the same tokens in the same way; engines are reference, candidate."""
    named = ["--reference", engines[0], "--candidate", engines[1]]
    ids = ",".join(map(str, tokens))
    return shlex.join(["bitparity", "compare", model, *named, "--tokens", ids, "--chunks", chunks, *options])


def _sample(result: ComparisonResult, row: PositionResult) -> str:
    return f"{words.describe_position(result, row)}, token {row.token}: {row.judged.reason}"
