"""Hooks of mkdocs: tables that are made from the code, and links to files outside of docs/.

A line `[[stages]]` in a page becomes the table of that name; TABLES has them all.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from inspect import cleandoc
from pathlib import Path
from typing import Any

import bitparity
import bitparity.noise.verdict as verdicts
from bitparity import settings, trace
from bitparity.errors import INTERNAL_FAILURE
from bitparity.formats import ROWS, is_ternary
from bitparity.oracle import arithmetic
from bitparity.stages import STAGES

ROOT = Path(__file__).parents[2]
_TABLE = re.compile(r"^\[\[(\w+)\]\]$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]\n]+)\]\((\.\./[^)\s#]+)\)")


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def stages() -> str:
    """Every stage, in the order of the graph."""
    rows = ((f"`{s.name}`", s.meaning, ", ".join(s.axes), "l" if s.in_block else "-1") for s in STAGES)
    return table(("stage", "meaning", "axes after the position", "layer"), rows)


def formats() -> str:
    """Every weight format."""
    rows = (
        (
            f"`{name}`",
            "yes" if is_ternary(row.format) else "no",
            row.activations or "",
            ", ".join(row.run_by) or "",
            "yes" if row.is_stored else "no",
        )
        for name, row in ROWS.items()
    )
    return table(("format", "ternary", "activations become", "references", "in files"), rows)


def axes() -> str:
    """The axes of an arithmetic."""
    rows = ((f"`{axis.name}`", ", ".join(f"`{o}`" for o in axis.options)) for axis in arithmetic.AXES)
    return table(("axis", "options, that of `plain` first"), rows)


def verdict_codes() -> str:
    """Verdicts and their exit codes."""
    rows = ((verdict.value, code) for verdict, code in verdicts.EXIT_CODES.items())
    return table(("verdict", "exit code"), [*rows, ("bitparity itself failed", INTERNAL_FAILURE)])


def docstring_of(what: object) -> str:
    """A docstring as it stands."""
    return f"```text\n{cleandoc(what.__doc__ or '')}\n```"


def table_of_docstring(what: object) -> str:
    """The table that a docstring has in it."""
    lines = cleandoc(what.__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def python_names() -> str:
    """A block of mkdocstrings for every name that the public door gives."""
    return "\n\n".join(f"::: bitparity.{name}" for name in bitparity.__all__)


TABLES: dict[str, Callable[[], str]] = {
    "stages": stages,
    "formats": formats,
    "axes": axes,
    "verdicts": verdict_codes,
    "arithmetic": lambda: docstring_of(arithmetic),
    "record": lambda: docstring_of(trace.TraceRecord),
    "store": lambda: docstring_of(trace.store),
    "settings": lambda: table_of_docstring(settings),
    "result": lambda: docstring_of(bitparity.ComparisonResult),
    "python": python_names,
    "program": lambda: (ROOT / "harness/bitparity/engines/program.md").read_text(encoding="utf-8"),
}


def on_page_markdown(markdown: str, *, page: Any, config: Any, **kwargs: Any) -> str:
    """Called by mkdocs for every page."""
    source = page.file.src_uri
    filled = _TABLE.sub(lambda match: TABLES[match[1]](), markdown)
    return _LINK.sub(lambda match: outside(match, source, config.repo_url), filled)


def outside(match: re.Match[str], source: str, repo_url: str | None) -> str:
    """A link that leaves docs/ leads to the repository, or is only the path where no repository is named."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(source), match[2]))
    if path.startswith("docs/"):
        return match[0]
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"{source} links to {path}, which is not there")
    return f"[{match[1]}]({repo_url}/blob/main/{path})" if repo_url else f"{match[1]} (`{path}`)"
