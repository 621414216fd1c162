"""Delta debugging: a list made shorter for as long as something still shows on what is left.

Source: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28 (2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

Shows = Callable[[tuple[int, ...]], bool]


def shrink(items: Sequence[int], shows: Shows) -> tuple[int, ...]:
    """A part of the items, in their order, on which `shows` is true and which loses it with any single item.

    items   on which `shows` is true; it is asked of every part once, and never of an empty one
    """
    kept, known = tuple(items), dict[tuple[int, ...], bool]()

    def ask(part: tuple[int, ...]) -> bool:
        if part not in known:
            known[part] = bool(part) and shows(part)
        return known[part]

    pieces = 2
    while len(kept) > 1:
        smaller = next(filter(ask, _smaller(kept, pieces)), None)
        if smaller is not None:
            pieces = 2 if len(smaller) <= -(-len(kept) // pieces) else max(pieces - 1, 2)
            kept = smaller
        elif pieces >= len(kept):
            break
        else:
            pieces = min(2 * pieces, len(kept))
    return kept


def _smaller(items: tuple[int, ...], pieces: int) -> Iterator[tuple[int, ...]]:
    """Each of the pieces by itself, then all items but those of one piece."""
    cuts = [round(number * len(items) / pieces) for number in range(pieces + 1)]
    spans = list(pairwise(cuts))
    yield from (items[first:last] for first, last in spans)
    if pieces > 2:
        yield from (items[:first] + items[last:] for first, last in spans)
