"""`bitparity include`: where a C compiler finds <bitparity/engine.h>."""

from __future__ import annotations

from pathlib import Path

import click

import bitparity


@click.command("include")
def command() -> None:
    """Print the folder in which a C compiler finds <bitparity/engine.h>, the contract of an engine.

    cc -shared -fPIC -I"$(bitparity include)" engine.c -o libengine.so
    """
    click.echo(Path(bitparity.__file__).parent.parent)
