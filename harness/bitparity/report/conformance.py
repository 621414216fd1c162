"""What `check-engine` found, on a terminal: a line a promise, and under a broken one how to see it again."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from bitparity.conformance.check import Outcome, State
from bitparity.conformance.run import Conformance
from bitparity.report import words
from bitparity.report.console import labelled, standard_output

_STYLES = {
    State.HOLDS: "green",
    State.BROKEN: "bold red",
    State.FAILED: "bold red",
    State.NOT_JUDGED: "magenta",
    State.ABSENT: "dim",
}
_LINES = 24  # of a reproduction that are shown; JSON has all
_PREAMBLE = ("from pathlib import Path", "from bitparity import open_engine")


def print_conformance(found: Conformance, repeat: str, console: Console | None = None) -> None:
    """Print to standard output; repeat is the command line of this run, without --only."""
    console = console or standard_output()
    heading = [("engine", words.describe_fingerprint(found.fingerprint, short=True)), ("model", found.model)]
    console.print(Text("\n".join(labelled(*line, console.width) for line in heading) + "\n"), soft_wrap=True)
    for outcome in found.outcomes:
        _print_outcome(outcome, repeat, console)
    console.print(Text(headline(found), style="bold"))


def headline(found: Conformance) -> str:
    """The outcome in one sentence."""
    holds, asked = found.count(State.HOLDS), len(found.outcomes) - found.count(State.ABSENT)
    if holds == asked and holds:
        return f"{found.engine} keeps the contract: {words.plural(holds, 'promise')} held"
    others = (State.BROKEN, State.FAILED, State.NOT_JUDGED)
    counts = [f"{found.count(state)} {state.value.lower()}" for state in others if found.count(state)]
    return f"{found.engine}: {holds} of {words.plural(asked, 'promise')} held; {', '.join(counts)}"


def _print_outcome(outcome: Outcome, repeat: str, console: Console) -> None:
    line = Text(f"{outcome.state.value:<11} ", style=_STYLES[outcome.state])
    console.print(line + Text(f"{outcome.name:<20} {outcome.said}", style="default"), soft_wrap=True)
    if outcome.state not in (State.BROKEN, State.FAILED):
        return
    console.print(Text(f"            promised: {outcome.promise}"), soft_wrap=True)
    shown = [*_PREAMBLE, *outcome.reproduction]
    if len(shown) > _LINES:
        shown[_LINES // 2 : -_LINES // 2] = ["…"]
    for call in shown:
        console.print(Text(f"            {call}", style="dim"), soft_wrap=True)
    console.print(Text(f"            repeat: {repeat} --only {outcome.name}"), soft_wrap=True)
