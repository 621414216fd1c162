"""The option --kernel-config of commands that read or write TL1 and TL2."""

from __future__ import annotations

from pathlib import Path

import click

from bitparity.cli.overwriting import note_input
from bitparity.formats.table_lookup import Tilings, read_kernel_config


def _read(context: click.Context, parameter: click.Parameter, path: Path | None) -> Tilings | None:
    if path is None:
        return None
    note_input(context, path)

    return read_kernel_config(path)


kernel_config_option = click.option(
    "--kernel-config",
    "tilings",
    metavar="INI",
    type=click.Path(path_type=Path),
    callback=_read,
    help="The kernel_config.ini that TL1 or TL2 was packed with; bitnet.cpp's presets without it.",
)
