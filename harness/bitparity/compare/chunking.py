"""How tokens are cut into calls: as prefill, decode, mixed, or chunks of a fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

from bitparity.errors import BadInput

LARGEST_PREFILL = 512  # bounds the logits held at once; also the default batch of ggml engines
# Sizes either side of the tile and block sizes of known kernels (4, 8, 16, 32), with decodes between them.
_MIXED = (7, 1, 16, 1, 1, 3, 33, 1, 4)


@dataclass(frozen=True)
class Chunk:
    """Tokens first <= position < last, run by `decode` (one token) or as one `prefill`."""

    first: int
    last: int
    decode: bool


@dataclass(frozen=True)
class Chunking:
    """A plan by name: "prefill", "decode", "mixed", or a whole number that is the size of every prefill."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Chunking:
        """Raises BadInput for anything else."""
        if text in ("prefill", "decode", "mixed") or (text.isdecimal() and int(text) > 0):
            return cls(text)
        raise BadInput(f"chunks {text!r}: write prefill, decode, mixed, or a whole number of tokens from 1")

    def chunks(self, n: int) -> Iterator[Chunk]:
        """Cut n tokens; every token lies in exactly one chunk."""
        first = 0
        for size, decode in self._sizes():
            if first >= n:
                return
            last = min(first + size, n)
            yield Chunk(first, last, decode)
            first = last

    def _sizes(self) -> Iterator[tuple[int, bool]]:
        if self.name == "mixed":
            return ((size, size == 1) for size in cycle(_MIXED))
        if self.name == "decode":
            return cycle([(1, True)])
        size = LARGEST_PREFILL if self.name == "prefill" else min(int(self.name), LARGEST_PREFILL)
        return cycle([(size, False)])
