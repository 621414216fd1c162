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
from bitparity.settings import read_settings

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
    Codes must be equal; scales must be equal to the precision of the narrower format; a tensor in a format
    that rounds by blocks (an embedding in Q6_K) must be what packing the other's weights gives.  Exit code 1
    when they differ, with what would make them equal, where that is known: another layout of I2_S, scales
    that are inverses or means, rows permuted for RoPE, inverted signs.
    """
    models = [open_model(model_file(name), tilings=tilings) for name in (expected, actual)]
    for model in models:
        check_file(model, force=force)
    found = verify_weights(*models, threads=read_settings().threads)
    if json_file is not None:
        result = {"same": found.is_same, "explained": found.explained, **asdict(found)}
        write_json(json_file, result)
    for difference in found.differences[:_SHOWN]:
        click.echo(difference.message)
    if len(found.differences) > _SHOWN:
        click.echo(f"and {len(found.differences) - _SHOWN} more tensors")
    if found.explained and len(found.differences) > 1:
        click.echo(f"one reason for all {len(found.differences)} differences: {found.explained}")
    for name in found.rounded:
        click.echo(f"{name} is rounded in one file, to what packing the other's weights gives")
    amount = f"{found.weights:,} weights in {found.tensors} tensors"
    click.echo(
        f"the same: {amount}"
        if found.is_same
        else f"not the same: {len(found.differences)} differences, {amount}"
    )
    raise SystemExit(0 if found.is_same else 1)
