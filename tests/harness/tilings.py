"""Tilings of TL1 and TL2 for the shapes of the bundled models."""

from __future__ import annotations

from bitparity.formats.table_lookup import Tiling, Tilings

# two tiles of rows or columns wherever there is room
TILINGS: dict[str, Tilings] = {
    "TL1": {
        (128, 256): Tiling(64, 64, 32),
        (256, 256): Tiling(128, 64, 64),
        (768, 256): Tiling(256, 128, 32),
        (256, 768): Tiling(128, 256, 64),
    },
    "TL2": {
        (128, 256): Tiling(64, 96, 32),
        (256, 256): Tiling(128, 192, 32),
        (768, 256): Tiling(256, 96, 32),
        (256, 768): Tiling(128, 96, 32),
    },
}
