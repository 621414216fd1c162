"""A corpus in a file."""

from __future__ import annotations

from pathlib import Path

from bitparity.compare.prompts import Prompt, parse_tokens, text_prompt
from bitparity.errors import BadInput

DEFAULT_WINDOW = 512


def read_corpus(path: Path) -> Prompt:
    """Token ids if the file's name ends in .tokens, else text; raises BadInput for one that is neither."""
    if path.suffix == ".tokens":
        return parse_tokens(str(path))
    try:
        return text_prompt(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text: {error}") from error
