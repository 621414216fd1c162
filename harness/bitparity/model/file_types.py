"""general.file_type: what llama.cpp calls the main format of a file (enum llama_ftype)."""

from __future__ import annotations

# I2_S, TL1 and TL2 as in bitnet.cpp's llama.h
_FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "TL1": 38, "TL2": 39, "I2_S": 40}
_GUESSED = 1024


def file_type(weight_format: str) -> int:
    """The number for a weight format; llama.cpp's "guessed" when it has none for it."""
    return _FILE_TYPES.get(weight_format, _GUESSED)
