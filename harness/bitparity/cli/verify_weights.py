"""`bitparity verify-weights`: whether two files hold the same weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bitparity.cli.kernel_config import kernel_config_option
from bitparity.cli.model_file import check_file, force_option, model_file
from bitparity.cli.output import OutputFile
from bitparity.formats.table_lookup import Tilings
from bitparity.model import open_model
from bitparity.model.verify import verify_weights
from bitparity.output import write_json

_SHOWN = 10


@click.command("verify-weights")
@click.argument("expected", metavar="MODEL")
@click.argument("actual", metavar="OTHER")
@click.option("--json", "json_file", type=OutputFile(), help="Write the result here.")
@force_option
@kernel_config_option
def command(expected: str, actual: str, json_file: Path | None, force: bool, tilings: Tilings | None) -> None:
    """Prove that two models hold the same weights, in whatever formats, or name where they do not.

    MODEL and OTHER are GGUF files, or bitnet or bitnet-b1.58 for a bundled model.
    Codes must be equal; scales must be equal to the precision of the narrower format.  Exit code 1 when they
    differ.
    """
    models = [open_model(model_file(name), tilings=tilings) for name in (expected, actual)]
    for model in models:
        check_file(model, force=force)
    found = verify_weights(*models)
    if json_file is not None:
        result = {"same": found.is_same, **asdict(found)}
        write_json(json_file, result)
    for difference in found.differences[:_SHOWN]:
        click.echo(difference.message)
    if len(found.differences) > _SHOWN:
        click.echo(f"and {len(found.differences) - _SHOWN} more tensors")
    amount = f"{found.weights:,} weights in {found.tensors} tensors"
    click.echo(
        f"the same: {amount}"
        if found.is_same
        else f"not the same: {len(found.differences)} differences, {amount}"
    )
    raise SystemExit(0 if found.is_same else 1)
