"""`bitparity convert`: a checkpoint as a GGUF file."""

from __future__ import annotations

from pathlib import Path

import click

from bitparity.cli.kernel_config import kernel_config_option
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.cli.quantize import report_written
from bitparity.formats import DENSE, WRITTEN
from bitparity.formats.table_lookup import Tilings
from bitparity.model import open_model
from bitparity.model.checkpoint.convert import convert_checkpoint

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command("convert")
@click.argument("checkpoint", type=_FOLDER)
@click.argument("target", metavar="OUT", type=_FILE)
@click.option("--to", "weight_format", required=True, help=f"{', '.join(WRITTEN)}.")
@click.option(
    "--head",
    "head_format",
    help=f"Of the embedding and the head: {', '.join(DENSE)}; else F16, or F32 where they are F32.",
)
@click.option("--force", is_flag=True, help="Go on where config.json has keys that are not known.")
@click.option("--json", "json_file", type=OutputFile(), help="Write what was done here.")
@kernel_config_option
def command(
    checkpoint: Path,
    target: Path,
    weight_format: str,
    head_format: str | None,
    force: bool,
    json_file: Path | None,
    tilings: Tilings | None,
) -> None:
    """Convert a checkpoint of transformers, a folder, to a GGUF file.

    Codes and scales are those of the checkpoint, whichever way it stores them; how that is, and what a GGUF
    file cannot say, is printed.  What is not understood is refused.  `verify-weights CHECKPOINT OUT` proves
    the result, and `quantize` converts it to other formats.
    """
    with progress_bar(f"converting to {weight_format}") as progress:
        done = convert_checkpoint(
            checkpoint,
            target,
            weight_format,
            head_format=head_format,
            tilings=tilings,
            force=force,
            progress=progress,
        )
    for note in done.notes:
        click.echo(note)
    report_written(target, open_model(target, tilings=tilings).format_counts(), json_file)
