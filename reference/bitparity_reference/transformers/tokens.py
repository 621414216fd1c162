"""The tokenizer of a checkpoint, as transformers reads it; imports transformers, so for a worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers


class CheckpointTokens:
    """tokenize and detokenize of a bitparity.engines.forward.Forward."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def tokenize(self, text: str, add_bos: bool, parse_special: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(
            text, add_special_tokens=add_bos, split_special_tokens=not parse_special
        )
        return ids

    def detokenize(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def tokens_of(folder: Path) -> CheckpointTokens | None:
    """None where the folder has no tokenizer, or none that transformers reads."""
    if not (folder / "tokenizer.json").is_file():
        return None
    try:
        return CheckpointTokens(transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True))
    except (ValueError, KeyError, OSError, ImportError):
        return None
