"""The selftest's findings on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitparity.faults.plant import Finding
from bitparity.report.console import standard_output

WIDE = 140  # columns for a pipe or a log file


def print_findings(findings: Sequence[Finding], console: Console | None = None) -> None:
    """A row a fault, then the count in one sentence."""
    console = console or standard_output(WIDE)
    table = Table()
    for name in ("planted in", "fault", "found", "what blame says"):
        table.add_column(name)
    for finding in findings:
        found = Text("yes", "green") if finding.is_found else Text(f"NO: {finding.problem}", "red")
        planted_in = f"{finding.engine}, kernels {finding.kernels}"
        table.add_row(planted_in, finding.fault.name, found, finding.report.sentence)
    console.print(table)
    found_count = sum(f.is_found for f in findings)
    console.print(f"{found_count} of {len(findings)} planted faults were found where they were planted")
