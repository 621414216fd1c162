"""bitparity selftest: plant deliberate faults and see the harness find them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bitparity.cli.cluster import scheduler_option, workers_option
from bitparity.cli.engine import kernels_option
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.faults.plant import Finding
from bitparity.faults.selftest import CaseTask, Selftest, find_on
from bitparity.output import write_json
from bitparity.report.selftest import print_findings
from bitparity.sweep.cluster import open_cluster


@click.command("selftest")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    default=("native", "oracle"),
    show_default=True,
    help="Engine to plant faults in; may be given several times.",
)
@kernels_option("those engines that have several; without it, every one that runs here")
@scheduler_option
@workers_option("none are started: all runs in this process")
@click.option("--json", "json_file", type=OutputFile(), help="Write the findings here.")
def command(
    engines: tuple[str, ...],
    kernels: str | None,
    scheduler: str | None,
    workers: int | None,
    json_file: Path | None,
) -> None:
    """Plant every fault of the catalogue and see whether blame names its layer, stage and position.

    Exits with 0 when all faults are found, 1 when one is not.
    """
    found: dict[tuple[str, str], Finding] = {}
    with tempfile.TemporaryDirectory() as folder, progress_bar("planting faults") as progress:
        selftest = Selftest(engines, kernels, Path(folder))
        with _finding(selftest, engines, kernels, scheduler, workers) as findings:
            for names, finding in findings:
                found[names] = finding
                if progress:
                    progress(len(found), len(selftest.cases))
    in_order = [found[names] for names in selftest.cases]
    if json_file is not None:
        write_json(json_file, [_as_dict(finding) for finding in in_order])
    print_findings(in_order)
    sys.exit(0 if all(f.is_found for f in in_order) else 1)


Found = Iterator[tuple[tuple[str, str], Finding]]


@contextmanager
def _finding(
    selftest: Selftest,
    engines: tuple[str, ...],
    kernels: str | None,
    scheduler: str | None,
    workers: int | None,
) -> Iterator[Found]:
    """Every case with its finding as they come: in this process, unless workers were asked for."""
    if scheduler is None and workers is None:
        yield ((names, selftest.find(names)) for names in selftest.cases)
        return
    tasks = [CaseTask(engines, kernels, names) for names in selftest.cases]
    with open_cluster(scheduler, workers or 1) as client:
        yield find_on(client, selftest, tasks)


def _as_dict(finding: Finding) -> dict[str, object]:
    return {
        "fault": finding.fault.name,
        "engine": finding.engine,
        "kernels": finding.kernels,
        "problem": finding.problem,
        **finding.report.as_dict(),
    }
