"""What is kept of the logits of a run: a few columns of a bounded number of positions, of both engines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.chunking import Chunking
from bitparity.engine import Floats

COLUMNS = 256  # what all logits say of an arithmetic, so many evenly spaced ones say too
POSITIONS = 128  # of a run; it takes the oracle seconds to compute as many


def sample_columns(n_vocab: int) -> NDArray[np.int64]:
    """Which logits of a position are kept."""
    return np.unique(np.linspace(0, n_vocab - 1, COLUMNS).astype(np.int64))


@dataclass
class SampledPrompt:
    """The first positions of one prompt, as they were run.

    batches   positions that were run together, in order
    expected  a row a position, (columns,) each; the reference's, and `actual` the candidate's
    """

    tokens: list[int] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    expected: list[Floats] = field(default_factory=list)
    actual: list[Floats] = field(default_factory=list)


class Sample:
    """The positions of a run that are kept, by prompt."""

    def __init__(self) -> None:
        self.prompts: dict[int, SampledPrompt] = {}
        self._room = POSITIONS

    def add(self, prompt: int, token: int, expected: Floats, actual: Floats) -> None:
        """Keep a position if there is room."""
        if self._room:
            columns = sample_columns(len(expected))
            kept = self.prompts.setdefault(prompt, SampledPrompt())
            kept.tokens.append(token)
            kept.expected.append(expected[columns])
            kept.actual.append(actual[columns])
            self._room -= 1

    def end(self, prompt: int, chunking: Chunking, length: int) -> None:
        """Say how the positions of a prompt were batched; what follows `length` tokens was decoded."""
        if prompt in self.prompts:
            kept = self.prompts[prompt]
            sizes = [chunk.last - chunk.first for chunk in chunking.chunks(length)]
            sizes += [1] * max(0, len(kept.tokens) - length)
            ends = np.minimum(np.cumsum(sizes), len(kept.tokens))
            kept.batches = [int(size) for size in np.diff(ends, prepend=0) if size]
