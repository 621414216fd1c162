"""The text of token ids, for people who read a report."""

from __future__ import annotations

from collections.abc import Iterable

from bitparity.errors import BadInput
from bitparity.streaming import Decoder


def pieces_of(ids: Iterable[int], tokenizer: Decoder) -> dict[str, str]:
    """Id in decimal digits -> its text, in the order of the ids.

    Bytes of an unfinished character are written `\\xe2`.  Ids that the vocabulary does not have are left out.
    """
    found: dict[str, str] = {}
    for token in sorted(set(ids)):
        try:
            found[str(token)] = tokenizer.decode_bytes([token]).decode(errors="backslashreplace")
        except BadInput:
            continue
    return found
