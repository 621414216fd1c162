"""`bitparity quantize`: a model in another weight format."""

from __future__ import annotations

from pathlib import Path

import click

from bitparity.cli.kernel_config import kernel_config_option
from bitparity.cli.model_file import model_file
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.formats import OF_HEADS, WRITTEN
from bitparity.formats.table_lookup import Tilings
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.output import write_json

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("quantize")
@click.argument("model")
@click.argument("target", type=_FILE)
@click.option("--to", "weight_format", required=True, help=f"{', '.join(WRITTEN)}.")
@click.option(
    "--head", "head_format", help=f"Of the embedding and the head: {', '.join(OF_HEADS)}; else as they are."
)
@click.option("--json", "json_file", type=OutputFile(), help="Write what was done here.")
@kernel_config_option
def command(
    model: str,
    target: Path,
    weight_format: str,
    head_format: str | None,
    json_file: Path | None,
    tilings: Tilings | None,
) -> None:
    """Convert a model to another weight format, exactly, and write it to TARGET.

    MODEL is a GGUF file, or bitnet or bitnet-b1.58 for a bundled model.  Every weight keeps its
    value; a model whose weights the format cannot hold is refused, with the first such tensor, row and
    column.  Only --head may round: to a format in blocks, such as Q6_K.
    """
    with progress_bar(f"converting to {weight_format}") as progress:
        convert(
            model_file(model),
            target,
            weight_format,
            head_format=head_format,
            tilings=tilings,
            progress=progress,
        )
    report_written(target, open_model(target, tilings=tilings).format_counts(), json_file)


def report_written(target: Path, formats: dict[str, int], json_file: Path | None) -> None:
    """Say which file was written, and put the same into json_file."""
    size = target.stat().st_size
    if json_file is not None:
        write_json(json_file, {"path": str(target), "bytes": size, "formats": formats})
    counts = ", ".join(f"{count} {name}" for name, count in formats.items())
    click.echo(f"wrote {target}: {size:,} bytes, {counts}")
