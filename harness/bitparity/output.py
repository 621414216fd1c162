"""Files that results are written to: checked before a run, so that what was measured can be kept after it.

An error of the system becomes BadInput with the path.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bitparity.errors import BadInput


def check_writable(path: Path) -> None:
    """Raise BadInput with the reason when a file cannot be written there; it is not touched."""
    if reason := _obstacle(path):
        raise BadInput(f"{path} cannot be written: {reason}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While the file is written; raises BadInput with the system's reason when that fails."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Raises BadInput when that fails."""
    with writing(path):
        path.write_text(text, encoding="utf-8")


def make_folder(path: Path, *, exist_ok: bool = False) -> None:
    """Raises FileExistsError when it exists and must be new, and BadInput when it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and not exist_ok:
            raise
        raise BadInput(f"the folder {path} cannot be made: {error.strerror}") from error


def write_json(path: Path, data: Any) -> None:
    """Write as to_json; raises BadInput when that fails."""
    write_text(path, to_json(data))


def to_json(data: Any) -> str:
    """Strict JSON: numbers that are not finite, which it does not have, become null."""
    return json.dumps(without_nan(data), indent=1, allow_nan=False) + "\n"


def without_nan(data: Any) -> Any:
    """The same data with None for every NaN and infinity."""
    if isinstance(data, dict):
        return {key: without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_nan(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def with_nan(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same data with NaN for every None: undoes without_nan, except that infinities become NaN."""
    return {name: math.nan if value is None else value for name, value in data.items()}


def _obstacle(path: Path) -> str | None:
    if path.is_dir():
        return "it is a folder"
    if path.exists():
        return None if os.access(path, os.W_OK) else "it may not be changed"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    return None if os.access(path.parent, os.W_OK) else f"nothing may be added to the folder {path.parent}"
