"""For mkdocstrings: docstrings here are plain text, whose columns mean something, and no Markdown.

The first paragraph stays prose; what follows is shown as it stands.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import griffe


class PlainDocstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """The same as Markdown; what has been through this stays as it is."""
    if "```text" in docstring:
        return docstring
    first, _, rest = cleandoc(docstring).partition("\n\n")
    return f"{first}\n\n```text\n{rest}\n```" if rest else first
