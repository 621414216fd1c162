"""`bitparity sweep`: compare everything in a matrix, on many workers, and keep a record of each cell."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bitparity.cli.cluster import scheduler_option, workers_option
from bitparity.cli.progress import progress_bar
from bitparity.processors import usable_processors
from bitparity.records.columns import Record
from bitparity.records.store import finished_cells
from bitparity.report.words import plural
from bitparity.sweep.cluster import open_cluster
from bitparity.sweep.matrix import Matrix, read_matrix
from bitparity.sweep.run import SweepRun, begin_or_go_on, run_sweep


@click.command("sweep")
@click.argument("matrix_file", metavar="MATRIX", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--records",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of records; `records` beside the matrix if not given.",
)
@scheduler_option
@workers_option("as many as the processors serve with the threads of a cell")
def command(matrix_file: Path, folder: Path | None, scheduler: str | None, workers: int | None) -> None:
    """Compare everything in a matrix, a TOML file, and keep a record of each cell.

    A run that was interrupted goes on where it was when the same command is typed again, unless what it runs
    has changed.  A cell that fails or hangs, or whose worker is lost, is tried once more and then recorded
    as such.

    Exits with 0 when every cell has a record, whatever its verdict: `bitparity report` judges them.  4 when a
    cell has none.
    """
    matrix = read_matrix(matrix_file)
    folder = folder or matrix_file.parent / "records"
    sweep = begin_or_go_on(matrix, folder)
    click.echo(_beginning(sweep))
    with (
        open_cluster(scheduler, workers or _workers(matrix)) as client,
        progress_bar("comparing") as progress,
    ):
        done = len(sweep.cells) - len(sweep.todo)

        def tell(record: Record) -> None:
            nonlocal done
            done += 1
            click.echo(f"{done:>{len(str(len(sweep.cells)))}}/{len(sweep.cells)}  {_line(record)}")
            if progress:
                progress(done, len(sweep.cells))

        run_sweep(sweep, client, tell)
    whole = finished_cells(folder, sweep.name) >= {cell.key for cell in sweep.cells}
    click.echo(f"{'all cells have a record' if whole else 'cells are missing'}: bitparity report {folder}")
    sys.exit(0 if whole else 4)


def _workers(matrix: Matrix) -> int:
    """So many that all of them together have as many threads as there are processors."""
    processors = usable_processors()
    most = max(cell.threads or processors for cell in matrix.cells)
    return max(1, processors // most)


def _beginning(sweep: SweepRun) -> str:
    cells = plural(len(sweep.cells), "cell")
    if sweep.goes_on:
        return f"run {sweep.name} goes on: {len(sweep.todo)} of {cells} are left"
    return f"run {sweep.name}: {cells}"


def _line(record: Record) -> str:
    """How a cell ended, in a line."""
    again = f", tried {record.attempts} times" if record.attempts > 1 else ""
    said = f": {record.sentence}" if record.exit_code and record.outcome != "diverged" else ""
    return f"{record.outcome.upper()}  {record.name}{again}{said}"
