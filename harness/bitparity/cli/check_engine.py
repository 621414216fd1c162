"""`bitparity check-engine`: the session contract as a conformance test."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bitparity.choose import choose_model
from bitparity.cli.engine import arithmetic_option, kernels_option, stage_map_option, time_limit_option
from bitparity.cli.model_file import open_chosen
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.cli.repeat import command_line
from bitparity.engines.ways import open_engine
from bitparity.output import write_json
from bitparity.settings import read_settings


@click.command("check-engine")
@click.argument("engine")
@click.argument("model", required=False)
@kernels_option("the engine")
@arithmetic_option("the engine", "its own")
@click.option("--only", "names", multiple=True, help="Check only this promise; may be given several times.")
@click.option(
    "--threads",
    type=click.IntRange(2),
    default=2,
    show_default=True,
    help="Threads that are compared with one.",
)
@click.option("--device-id", type=int, help="Device of the engine.")
@stage_map_option("the engine")
@time_limit_option
@click.option("--json", "json_file", type=OutputFile(), help="Write the outcome here.")
@click.pass_context
def command(
    ctx: click.Context,
    engine: str,
    model: str | None,
    kernels: str | None,
    arithmetic: str | None,
    names: tuple[str, ...],
    threads: int,
    device_id: int | None,
    stage_map: Path | None,
    time_limit: float,
    json_file: Path | None,
) -> None:
    """Check that an engine keeps the contract of a session, whatever its numbers are.

    ENGINE is what --candidate of `compare` takes; MODEL is a GGUF file or a bundled model, the first one that
    the engine runs unless given.  A prompt, single tokens, chunks and rollbacks must lead to the same logits;
    what must be equal to the bit and what to rounding is said of each promise.  What rounding explains is
    measured on the engine itself.

    Exits with 0 when all promises hold, 1 when one is broken, 4 when one could not be judged, and 5 when the
    engine failed.
    """
    from bitparity.conformance.run import check_names, run_checks
    from bitparity.conformance.subject import Subject
    from bitparity.report.conformance import print_conformance

    if unknown := [name for name in names if name not in check_names()]:
        raise click.BadParameter(f"{unknown[0]!r} is none; there are {', '.join(check_names())}")
    settings = read_settings()
    chosen = open_engine(
        engine, time_limit=time_limit, stage_map=stage_map, kernels=kernels, arithmetic=arithmetic
    )
    opened = open_chosen(choose_model(model, [chosen]), settings)
    subject = Subject(chosen, opened, settings, threads=threads, device_id=device_id)
    try:
        with progress_bar("checking") as progress:
            found = run_checks(subject, names, progress)
    finally:
        subject.close()
    if json_file is not None:
        write_json(json_file, found.as_dict())
    ctx.params |= {"names": (), "json_file": None}  # a broken promise is repeated by itself
    print_conformance(found, command_line(ctx))
    sys.exit(found.exit_code)
