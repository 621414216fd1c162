"""What an engine returned, held against what it was asked for; what is wrong is told in one sentence."""

from __future__ import annotations

from typing import cast

import numpy as np

from bitparity.engine import Floats
from bitparity.errors import EngineFailed


def check_logits(engine: str, returned: object, shape: tuple[int, ...]) -> Floats:
    """The same logits; raises EngineFailed unless they are float32 of that shape, the last axis being the
    vocabulary."""
    if wrong := _what_is_wrong(returned, shape):
        raise EngineFailed(engine, wrong)
    return cast(Floats, returned)


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
