"""The trained tiny models that come with the package, in any weight format."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from blake3 import blake3

import bitparity
from bitparity.errors import BadInput
from bitparity.model.convert import convert
from bitparity.output import make_folder
from bitparity.settings import read_settings

BUNDLED_FORMAT = "TQ1_0"
ARCHS = ("bitnet", "bitnet-b1.58")
_PACKAGE = Path(bitparity.__file__).parent


def bundled_model(arch: str = "bitnet", weight_format: str | None = None) -> Path:
    """Path of a bundled model, or of its conversion to another weight format.

    A conversion is kept in the cache folder under a name that changes with the model and with the code that
    converts it; it appears there complete or not at all, even when another process converts at the same time.
    Raises BadInput for an arch that is not bundled and a format that does not exist.
    """
    if arch not in ARCHS:
        raise BadInput(f"no bundled model has the architecture {arch!r}; there are {', '.join(ARCHS)}")
    source = _PACKAGE / "data" / f"tiny-{arch}.gguf"
    if weight_format in (None, BUNDLED_FORMAT):
        return source
    folder = read_settings().cache_dir / "models"
    target = folder / f"tiny-{arch}-{weight_format}-{_fingerprint(source)}.gguf"
    if not target.exists():
        _convert(source, target, str(weight_format))
    return target


def _fingerprint(source: Path) -> str:
    """Hash of the model and of the Python sources that decide what its conversion looks like."""
    code = [path for folder in ("formats", "model") for path in sorted((_PACKAGE / folder).glob("*.py"))]
    digest = blake3()
    for path in (source, *code):
        digest.update(path.read_bytes())
    return digest.hexdigest(length=8)


def _convert(source: Path, target: Path, weight_format: str) -> None:

    make_folder(target.parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.stem}-") as folder:
        unfinished = Path(folder) / target.name
        convert(source, unfinished, weight_format)
        os.replace(unfinished, target)
