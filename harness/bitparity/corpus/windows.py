"""Cut a corpus into windows, as perplexity is measured with a stride.

A window is fed from its beginning, with the model's BOS before it; its logits at a token say how probable
the next one is.  Every window begins `stride` tokens after the one before, and scores the targets that those
before it have not: all of its own in the first, the last `stride` in the others, so that a target has a
context of window - stride tokens at least, except at the beginning of the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Window:
    """Tokens of one window, as they are fed.

    tokens   ids, special ones at the beginning included
    first    index of the first row that is scored
    targets  the ids that follow, one for every row from `first` on
    """

    tokens: Ids
    first: int
    targets: Ids


@dataclass(frozen=True)
class Plan:
    """How a corpus is cut.

    ids     of the corpus
    prefix  special ids that every window begins with, such as BOS
    window  tokens that a window holds at most, those of the prefix included
    stride  tokens from one window to the next
    """

    ids: Ids
    prefix: Ids
    window: int
    stride: int

    def __post_init__(self) -> None:
        room = self.window - len(self.prefix)
        if not 1 <= self.stride <= room:
            raise BadInput(
                f"a stride of {self.stride} does not fit a window of {self.window}; take 1 to {room}"
            )
        if len(self.ids) < 2:
            raise BadInput(f"the corpus has {len(self.ids)} tokens, of which none can be predicted")

    @property
    def starts(self) -> range:
        """Where windows begin: the last one is the first that reaches the end."""
        room = self.window - len(self.prefix)
        beyond = max(0, len(self.ids) - 1 - room)  # the last id is a target only
        return range(0, -(-beyond // self.stride) * self.stride + 1, self.stride)

    @property
    def scored(self) -> list[int]:
        """How many targets each window scores."""
        return [len(self.at(index).targets) for index in range(len(self.starts))]

    def at(self, index: int) -> Window:
        start, room = self.starts[index], self.window - len(self.prefix)
        end = min(start + room, len(self.ids) - 1)
        # Targets begin after what the window before has scored, which ends with the token after its last.
        known = 0 if index == 0 else self.starts[index - 1] + room + 1
        target = max(known, start + (0 if len(self.prefix) else 1))
        first = target - 1 - start + len(self.prefix)
        tokens = np.concatenate([self.prefix, self.ids[start:end]])
        return Window(tokens, first, self.ids[target : end + 1])


def as_ids(tokens: Sequence[int]) -> Ids:
    """Raises BadInput for an id that no vocabulary has."""
    try:
        return np.asarray(tokens, np.int32)
    except OverflowError as error:
        raise BadInput(f"the corpus has an id that no vocabulary has: {error}") from None
