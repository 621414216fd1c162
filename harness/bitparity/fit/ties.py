"""Arithmetics whose every row has a tie: no position is ever given to float32 rounding.

Where codes are cut off, the largest value of a row is 127 steps, or a float32 rounding less: its code is 127
or 126, and which of the two is decided by the last bit of the norm before it.  Where stages hand on F16 and
nothing but the head rounds to int8, some of a row's values lie at a tie of F16, and the head's codes carry it
on.  So such an engine is told by how far the same last bits carry the oracle.

Norms alone are moved for that, also where every stage is rounded (moved.py moves all of them): they carry it
less far, which is the stricter measure where no position is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitparity.compare.sample import sample_columns
from bitparity.fit.lockstep import relative_l2
from bitparity.fit.observed import Observed
from bitparity.fit.sample import with_head_rows
from bitparity.model.types import Model
from bitparity.noise.perturb import with_norms_moved
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition
from bitparity.oracle.ops import Doubles

CUTTING = ("zero", "down")


def left_and_spread(
    model: Model, arithmetic: Arithmetic, observed: Sequence[Observed]
) -> tuple[Doubles, Doubles]:
    """What an arithmetic leaves of each row that was observed, and how far its last bits carry it there.

    Both in relative L2.
    """
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
    return np.concatenate(left), np.concatenate(spread)


def _logits(definition: Definition, observed: Observed, n_columns: int) -> Doubles:
    decoder, count = Decoder(definition), len(observed.tokens)
    size = 1 if observed.rows == 1 else count
    rows = [decoder.forward(observed.tokens[first : first + size]) for first in range(0, count, size)]
    logits: Doubles = np.concatenate(rows).astype(np.float64)
    return logits if logits.shape[1] == n_columns else logits[:, sample_columns(logits.shape[1])]
