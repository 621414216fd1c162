"""Arithmetics that cut codes off, whose every row has a tie: no position is ever given to float32 rounding.

The largest value of a row is 127 steps, or a float32 rounding less: cut off, its code is 127 or 126, and
which of the two is decided by the last bit of the norm before it.  So such an engine is told by how far the
same last bits carry the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitparity.compare.sample import sample_columns
from bitparity.fit.lockstep import relative_l2
from bitparity.fit.observed import Observed
from bitparity.fit.sample import with_head_rows
from bitparity.model.types import Model
from bitparity.noise.criterion import MULTIPLE
from bitparity.noise.perturb import with_norms_moved
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition
from bitparity.oracle.ops import Doubles

CUTTING = ("zero", "down")


def gives_but_for_ties(
    model: Model, arithmetic: Arithmetic, observed: Sequence[Observed]
) -> tuple[bool, Doubles]:
    """Whether an arithmetic that cuts codes off gives what was observed, and what it leaves of each row."""
    columns = sample_columns(model.hyper.n_vocab)
    own, moved = (
        Definition.of(with_head_rows(each, columns), arithmetic)
        for each in (model, with_norms_moved(model, seed=0))
    )
    left, spread = [], []
    for one in observed:
        expected = _logits(own, one, len(columns))
        left.append(relative_l2(expected, one.logits))
        spread.append(relative_l2(expected, _logits(moved, one, len(columns))))
    residuals = np.concatenate(left)
    return bool(np.max(residuals) <= MULTIPLE * np.max(np.concatenate(spread))), residuals


def _logits(definition: Definition, observed: Observed, n_columns: int) -> Doubles:
    decoder, count = Decoder(definition), len(observed.tokens)
    size = 1 if observed.rows == 1 else count
    rows = [decoder.forward(observed.tokens[first : first + size]) for first in range(0, count, size)]
    logits: Doubles = np.concatenate(rows).astype(np.float64)
    return logits if logits.shape[1] == n_columns else logits[:, sample_columns(logits.shape[1])]
