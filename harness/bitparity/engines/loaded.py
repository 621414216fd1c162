"""Which shared libraries this process has loaded, and their digests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

_MAPS = Path("/proc/self/maps")


def loaded_libraries() -> frozenset[Path]:
    """As Linux tells them; none elsewhere."""
    if not _MAPS.exists():
        return frozenset()
    paths = (line.split(maxsplit=5)[5:] for line in _MAPS.read_text().splitlines())
    return frozenset(Path(path[0]) for path in paths if path and ".so" in Path(path[0]).name)


def digests(libraries: Iterable[Path]) -> str:
    """`libggml.so 0123456789abcdef, ...`, by name: what tells two builds apart."""
    named = sorted((path.name, path) for path in libraries if path.is_file())
    return ", ".join(f"{name} {blake3().update_mmap(path).hexdigest()[:16]}" for name, path in named)
