"""Where libbitnet lies, the engine as a C library; `python -m bitparity_native.library` prints it."""

from __future__ import annotations

from pathlib import Path

from bitparity_native import _core

# Laid out like /usr: include/, lib/, lib/cmake/bitnet/, lib/pkgconfig/.
PREFIX = Path(_core.__file__).parent


def library_path() -> Path:
    """The shared library itself."""
    (path,) = (PREFIX / "lib").glob("libbitnet.[sd]*")
    return path


if __name__ == "__main__":
    print(PREFIX)
