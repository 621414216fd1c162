"""Logits that somebody saved in a file of NumPy: what an engine gave, when only its numbers are at hand.

logits.npy   float32 (positions, n_vocab).  The token ids of its rows lie beside it in logits.tokens, as
             `--tokens` takes a file of them, or are given on the command line
logits.npz   the arrays `logits`, the same, and `tokens` (positions,), whole numbers, if they are known
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.prompts import parse_tokens
from bitparity.engine import Floats
from bitparity.errors import BadInput

_EXACT = ("float32", "float64")  # what float32 logits survive in


def read_numbers(path: Path) -> tuple[Floats, tuple[int, ...] | None]:
    """Logits, float32 (positions, n_vocab), and the token ids of the positions, None if they are not known.

    Raises BadInput for a file that is missing or holds something else.
    """
    try:
        with _opened(path) as arrays:
            logits = _checked(arrays["logits"], path)
            tokens = _tokens(arrays, path)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except KeyError:
        raise BadInput(f"{path} holds no array named 'logits'; write numpy.savez(file, logits=…)") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise BadInput(f"{path} is no whole file of NumPy ({error}); write it again") from None
    if tokens is not None and len(tokens) != len(logits):
        raise BadInput(
            f"{path} has {len(logits)} rows of logits for {len(tokens)} tokens; one each is needed"
        )
    return logits, tokens


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The arrays of either kind of file, by name."""
    opened: Any = np.load(path, allow_pickle=False)
    if isinstance(opened, np.ndarray):
        yield {"logits": opened}
        return
    with opened:
        yield opened


def _checked(logits: NDArray[Any], path: Path) -> Floats:
    if logits.dtype.name not in _EXACT:
        raise BadInput(f"{path} holds {logits.dtype.name}; save the logits as they were computed, in float32")
    if logits.ndim != 2 or 0 in logits.shape:
        raise BadInput(f"{path} has the shape {logits.shape}; (positions, n_vocab) is needed, a row a token")
    return np.ascontiguousarray(logits, np.float32)


def _tokens(arrays: Any, path: Path) -> tuple[int, ...] | None:
    if "tokens" in arrays:
        tokens = arrays["tokens"]
        if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
            raise BadInput(f"{path}: 'tokens' is {tokens.dtype} {tokens.shape}, not a list of whole numbers")
        return tuple(int(token) for token in tokens)
    beside = path.with_suffix(".tokens")
    return parse_tokens(str(beside)).tokens if beside.exists() else None
