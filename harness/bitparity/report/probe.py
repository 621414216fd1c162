"""What `probe` found, on a terminal: a line an axis of arithmetic, then a line a part, with its proof."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from bitparity.fit.words import option_words
from bitparity.oracle.arithmetic import IN_ONE_ROW
from bitparity.probe.reading import Reading
from bitparity.probe.sheet import Line, Sheet, words_of
from bitparity.report import words
from bitparity.report.console import labelled, plain_table, standard_output


def print_sheet(sheet: Sheet, console: Console | None = None) -> None:
    """Print to standard output."""
    console = console or standard_output()
    heading = [
        ("engine", words.describe_fingerprint(sheet.fingerprint, short=True)),
        ("models", sheet.chart),
        ("stated", _stated(sheet)),
    ]
    console.print(Text("\n".join(labelled(*line, console.width) for line in heading) + "\n"), soft_wrap=True)
    for line in sheet.lines:
        console.print(Text(labelled(f"{line.axis:<12}", _axis(line), console.width)), soft_wrap=True)
    console.print()
    table = plain_table()
    for column in ("part", "positions given", "residual", "", ""):
        table.add_column(column, justify="right" if column.startswith(("pos", "res")) else "left")
    for reading in sheet.readings:
        table.add_row(*_part(reading))
    console.print(table)
    style = "bold red" if sheet.wrong else "bold yellow" if sheet.unknown else "bold"
    console.print(Text("\n" + sheet.sentence, style=style), soft_wrap=True)


def _stated(sheet: Sheet) -> str:
    if sheet.stated is None:
        return "nothing of its arithmetic"
    if not sheet.shows_arithmetic:
        return f"{sheet.stated.name}; nothing that was found shows whether that holds"
    return f"{sheet.stated.name}, which {'holds' if sheet.statement_holds else 'DOES NOT HOLD'}"


def _axis(line: Line) -> str:
    """What was found at one axis and what proves it."""
    if not line.said:
        return "not decided: what shows it is wrong otherwise"
    alike = [option_words(line.axis, o) for o in line.alike if not o.endswith(IN_ONE_ROW)]
    said = f"{line.said}, or {' or '.join(alike)}, which is the same here" if alike else line.said
    if line.others:
        return f"{said}; not told apart from: {', '.join(line.others)}"
    proof = f"; {line.nearest[0]} would leave {line.nearest[1]:.0e}" if line.nearest else ""
    return f"{said} ({line.shown_by}: residual {line.residual:.0e}{proof})"


def _part(reading: Reading) -> tuple[str, str, str, str, str]:
    given = f"{reading.given} of {reading.positions}"
    said = words_of(reading).removeprefix(reading.part.name).lstrip(",: ")
    mark = "WRONG" if reading.is_wrong else "" if reading.is_known else "?"
    return reading.part.name, given, f"{reading.residual:.0e}", mark, said
