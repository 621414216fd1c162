"""What an engine returned, held against what it was asked for; what is wrong is told in one sentence."""

from __future__ import annotations

from typing import cast

import numpy as np

from bitparity.engine import Floats
from bitparity.errors import EngineFailed

# A float32 softmax of 128,256 tokens adds up to 1 within 1e-4, and its logarithms are as exact.  Logits do so
# by chance in one of 10,000 models, if the logarithm of their sum is anywhere in a range of 20.
_IS_ONE = 1e-3


class LogitsCheck:
    """Takes what one session returns, call after call; the first also shows whether it is logits at all."""

    def __init__(self, engine: str) -> None:
        self._engine, self._is_first = engine, True

    def __call__(self, returned: object, shape: tuple[int, ...], *, are_logits: bool = True) -> Floats:
        """The same rows; raises EngineFailed unless they are float32 of that shape, the last axis being the
        vocabulary, and, if they are to be logits, neither probabilities nor their logarithms."""
        wrong = _what_is_wrong(returned, shape)
        logits = cast(Floats, returned)
        if not wrong and self._is_first and are_logits:
            wrong = _what_else_they_are(logits.reshape(-1, shape[-1])[0])
        if wrong:
            raise EngineFailed(self._engine, wrong)
        self._is_first = False
        return logits


def _what_is_wrong(returned: object, shape: tuple[int, ...]) -> str:
    needed = f"where a float32 array of shape {shape} is needed"
    if not isinstance(returned, np.ndarray):
        return f"returned a {type(returned).__name__} {needed}"
    if returned.dtype != np.float32:
        return f"returned {returned.dtype} {needed}"
    if returned.shape == shape:
        return ""
    return f"returned logits of shape {returned.shape} {needed}{_reason(returned.shape, shape)}"


def _reason(got: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if got[-1:] == shape[-1:] and len(shape) == 2 and got in ((1, shape[1]), shape[1:]):
        return "; an engine that has one row only has forward_last instead of forward"
    if got[:-1] == shape[:-1] and got[-1] > shape[-1]:
        return f"; leave out the last {got[-1] - shape[-1]} columns if they are padding"
    return ""


def _what_else_they_are(row: Floats) -> str:
    """Of float32 (n_vocab,); empty for logits.  A row with NaN is none of these."""
    if len(row) < 2:
        return ""
    wide = row.astype(np.float64)
    if wide.min() >= 0 and abs(wide.sum() - 1) < _IS_ONE:
        return "returned probabilities where raw logits are needed; return the values before the softmax"
    if wide.max() <= 0 and abs(np.log(np.exp(wide).sum())) < _IS_ONE:
        return (
            "returned log-probabilities where raw logits are needed; the distribution is the same, but "
            "comparing needs the values before the log-softmax"
        )
    return ""
