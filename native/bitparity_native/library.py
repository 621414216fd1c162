"""Where libbitnet lies: the engine as a C library."""

from __future__ import annotations

from pathlib import Path

from bitparity_native import _core

PREFIX = Path(_core.__file__).parent  # with include/ and lib/


def library_path() -> Path:
    """The shared library itself."""
    (path,) = (PREFIX / "lib").glob("libbitnet.[sd]*")
    return path
