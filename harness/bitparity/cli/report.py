"""`bitparity report`: what a folder of records says of its last run: what changed, since when, why."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bitparity.cli.output import OutputFile
from bitparity.output import write_json
from bitparity.records.history import read_history
from bitparity.report.github import annotation_lines
from bitparity.report.history import print_history
from bitparity.report.junit import write_junit
from bitparity.report.sweep_page import write_sweep_page


@click.command("report")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--run", "run", help="The run to report; the last one if not given.")
@click.option(
    "--html",
    "html_file",
    type=OutputFile(),
    help="Write a page here, and the pages of its runs into a folder beside it.",
)
@click.option("--junit", "junit_file", type=OutputFile(), help="Write the run as JUnit XML here.")
@click.option("--github", is_flag=True, help="Print annotations of GitHub Actions as well.")
@click.option("--json", "json_file", type=OutputFile(), help="Write what is reported here.")
def command(
    folder: Path,
    run: str | None,
    html_file: Path | None,
    junit_file: Path | None,
    github: bool,
    json_file: Path | None,
) -> None:
    """Say what changed in a folder of records, since when a cell fails, and which build did it.

    Exits with 1 when a cell fails that passed in an earlier run, or fails in its first run; 4 when cells have
    no record or none of them compared anything; else 0, also when cells fail that never passed.
    """
    history = read_history(folder, run)
    if html_file is not None:
        write_sweep_page(history, html_file)
    if junit_file is not None:
        write_junit(history, junit_file)
    if json_file is not None:
        write_json(json_file, history.as_dict())
    print_history(history)
    if github:
        click.echo("\n".join(annotation_lines(history)))
    sys.exit(history.exit_code)
