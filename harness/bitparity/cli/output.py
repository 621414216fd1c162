"""The type of options that name a file to write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from bitparity.errors import BadInput
from bitparity.output import check_writable


class OutputFile(click.Path):
    """A path that can be written; if it cannot, that is told before the command runs."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        try:
            check_writable(Path(value))
        except BadInput as error:
            raise BadInput(f"{param.opts[0]} {error}" if param else str(error)) from None
        return super().convert(value, param, ctx)
