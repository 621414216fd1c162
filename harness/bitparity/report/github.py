"""A run of a sweep as annotations of GitHub Actions: lines that the log of a step turns into notes.

GitHub shows ten of a kind a step, so cells of which the same is told share one.
"""

from __future__ import annotations

from bitparity.records.history import History
from bitparity.report.history import FAILING, Group, groups_of, verdict_of
from bitparity.report.words import plural

_LEVELS = {
    **dict.fromkeys(FAILING, "error"),
    "fixed": "notice",
    "stronger": "notice",
}  # what is not there is a warning


def annotation_lines(history: History) -> list[str]:
    """The lines, the gravest first; the last one is the verdict where it is not a pass."""
    lines = [_annotation(group, history) for group in groups_of(history)]
    word, sentence = verdict_of(history)
    return lines if history.exit_code in (0, 1) else [*lines, _line("error", word.lower(), sentence)]


def _annotation(group: Group, history: History) -> str:
    last = group.first.last
    more = f" and {plural(len(group.cells) - 1, 'more cell')}" if len(group.cells) > 1 else ""
    said = [f"{last.name}{more}: {group.outcome}, {group.when(history)}"]
    said += [] if last.passed else [last.sentence]
    said += group.differences
    said += [f"repeat: {last.command}"] if group.title in FAILING else []
    return _line(_LEVELS.get(group.title, "warning"), f"{group.title}: {group.candidate}", "\n".join(said))


def _line(level: str, title: str, message: str) -> str:
    """A workflow command; GitHub's own escapes for what would end it."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    title = title.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title=bitparity {title}::{escaped}"
