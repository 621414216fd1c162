"""The trained tiny models that come with the package, in any weight format."""

from __future__ import annotations

from pathlib import Path

import bitparity
from bitparity.errors import BadInput
from bitparity.model.converted import in_weight_format

BUNDLED_FORMAT = "TQ1_0"
ARCHS = ("bitnet", "bitnet-b1.58")
_PACKAGE = Path(bitparity.__file__).parent


def bundled_model(arch: str = "bitnet", weight_format: str | None = None) -> Path:
    """Path of a bundled model, or of its conversion to another weight format.

    A conversion is kept in the cache folder (converted.py).
    Raises BadInput for an arch that is not bundled and a format that does not exist.
    """
    if arch not in ARCHS:
        raise BadInput(f"no bundled model has the architecture {arch!r}; there are {', '.join(ARCHS)}")
    source = _PACKAGE / "data" / f"tiny-{arch}.gguf"
    if weight_format in (None, BUNDLED_FORMAT):
        return source
    return in_weight_format(source, str(weight_format))
