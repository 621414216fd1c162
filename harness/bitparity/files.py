"""No output overwrites an input, even when the two have different names for the same file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bitparity.errors import BadInput

_OF_A_TRACE = (".jsonl", ".safetensors", ".trace")  # and its meta.json


def refuse_to_overwrite(output: Path, inputs: Iterable[Path]) -> None:
    """Raise BadInput if `output` is one of the inputs, or belongs to a trace that is one of them."""
    for given in inputs:
        if _is_part_of(output, given):
            raise BadInput(f"{output} would overwrite {given}, which is read; name another file to write")


def _is_part_of(output: Path, given: Path) -> bool:
    """The file system is asked, so links, relative paths and case make no difference."""
    try:
        if not output.is_file():
            return False
        if given.is_file():
            return output.samefile(given)
        belongs = output.suffix in _OF_A_TRACE or output.name == "meta.json"
        return belongs and given.is_dir() and output.resolve().is_relative_to(given.resolve())
    except (OSError, ValueError):  # not a path but, say, a prompt, which may be too long for a file name
        return False
