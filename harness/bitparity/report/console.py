"""Where reports are printed, so that a terminal of 80 columns loses nothing and a pipe gets whole lines."""

from __future__ import annotations

import sys
import textwrap

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

ENDLESS = 10_000  # columns of a pipe or a file, where no line is wrapped


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave a broken pipe to the command line: Rich would exit with 1, which means "diverged"."""
        raise BrokenPipeError


def standard_output(columns: int = ENDLESS) -> Console:
    """Standard output; `columns` is the width where it is no terminal."""
    return _Console(width=None if sys.stdout.isatty() else columns)


def plain_table(title: str | None = None) -> Table:
    """A table without lines: numbers need the room."""
    return Table(
        box=None,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
        title=title,
        title_justify="left",
    )


def fits(table: Table, console: Console) -> bool:
    """Whether no cell has to be wrapped or cut."""
    endless = console.options.update(max_width=ENDLESS)
    return Measurement.get(console, endless, table).maximum <= console.width


def labelled(label: str, text: str, width: int) -> str:
    """A line of a heading, `label  text`, wrapped at words under the beginning of its text."""
    first = f"{label:9}  "
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
