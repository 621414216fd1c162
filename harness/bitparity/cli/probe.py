"""`bitparity probe`: an engine's arithmetic as a specification sheet, read from outside."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bitparity.choose import choose_model
from bitparity.cli.engine import arithmetic_option, kernels_option, time_limit_option
from bitparity.cli.model_file import open_chosen
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.engines.ways import open_engine
from bitparity.output import write_json
from bitparity.settings import read_settings


@click.command("probe")
@click.argument("engine")
@click.argument("model", required=False)
@kernels_option("the engine")
@arithmetic_option("the engine", "its own")
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.")
@click.option("--device-id", type=int, help="Device of the engine.")
@time_limit_option
@click.option("--json", "json_file", type=OutputFile(), help="Write the sheet here.")
def command(
    engine: str,
    model: str | None,
    kernels: str | None,
    arithmetic: str | None,
    threads: int | None,
    device_id: int | None,
    time_limit: float,
    json_file: Path | None,
) -> None:
    """Read from an engine's logits what it computes, on small models that are written for it.

    ENGINE is what --candidate of `compare` takes; it needs no tap and states nothing.  The models have two
    blocks and the architecture, shapes and weight format of MODEL (a GGUF file or a bundled model), or the
    first ones that the engine runs.  Each leaves one branch of one block, and the oracle says which
    arithmetic, or which known mistake, gives the logits there.

    Exits with 0 when every part is as defined, 1 when one is not or nothing known gives it, 4 when the
    engine runs no such model, and 5 when it failed.
    """
    from bitparity.probe.run import probe
    from bitparity.report.probe import print_sheet

    settings = read_settings()
    chosen = open_engine(engine, time_limit=time_limit, kernels=kernels, arithmetic=arithmetic)
    like = open_chosen(choose_model(model, [chosen]), settings) if model else None
    with progress_bar("probing") as progress:
        sheet = probe(chosen, settings, like=like, threads=threads, device_id=device_id, progress=progress)
    if json_file is not None:
        write_json(json_file, sheet.as_dict())
    print_sheet(sheet)
    sys.exit(sheet.exit_code)
