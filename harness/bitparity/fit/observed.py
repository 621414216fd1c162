"""Logits that an engine gave for short sequences, and how many rows it multiplied together to give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bitparity.compare.sample import sample_columns
from bitparity.engine import Floats, Session

SEQUENCES = 4  # position 0 of each is free of softmax and of what rounding flipped before
LENGTH = 3  # the later positions show Q, softmax rows and rotation; the longer, the more flips


@dataclass(frozen=True)
class Observed:
    """A sequence from position 0.

    rows    of the batch in which every position was computed: 1 in decode
    logits  (positions, columns): of sample_columns
    """

    tokens: tuple[int, ...]
    rows: int
    logits: Floats

    def shortened(self, length: int) -> Observed:
        """The first positions only."""
        return Observed(self.tokens[:length], self.rows, self.logits[:length])


def observe(session: Session, tokens: Sequence[int]) -> list[Observed]:
    """Run short sequences of these tokens, by decode and by prefill; the session is rolled back to 0.

    Raises as the session does.
    """
    sequences = _sequences(tokens, session.info.n_vocab)
    return [observed for ids in sequences for observed in observe_sequence(session, ids)]


def observe_sequence(session: Session, ids: tuple[int, ...]) -> Iterator[Observed]:
    """Run one sequence by decode and by prefill; the session is rolled back to 0."""
    columns = sample_columns(session.info.n_vocab)
    session.rollback(0)
    yield Observed(ids, 1, np.stack([session.decode(token)[columns] for token in ids]))
    session.rollback(0)
    yield Observed(ids, len(ids), session.prefill(ids)[:, columns])
    session.rollback(0)


def _sequences(tokens: Sequence[int], n_vocab: int) -> Iterator[tuple[int, ...]]:
    """Sequences that begin with different tokens: those of the run, and others if it has too few."""
    distinct = list(dict.fromkeys((*tokens, *range(n_vocab))))
    for first in islice(distinct, SEQUENCES):
        yield (first, *(distinct[(first + i) % len(distinct)] for i in range(1, LENGTH)))
