"""MODEL on the command line, where no engine has a say in it: a file, or a bundled model's name."""

from __future__ import annotations

from pathlib import Path


def model_file(name: str | None) -> Path:
    """The path of a file, or of a bundled model as it came with the package; without a name the first one."""
    from bitparity.model.bundled import ARCHS, bundled_model

    return bundled_model(name or ARCHS[0]) if name is None or name in ARCHS else Path(name)
