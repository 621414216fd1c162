"""Write the character classes that pre-tokenizers ask for as a C++ table, for libbitnet.

    python tools/unicode_table.py > native/src/library/unicode_table.inc

The classes are those of the `tokenizers` package for the characters of Unicode 15.1, which is what the Python
tokenizer cuts by.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Regex, pre_tokenizers

from bitparity.tokenizer.unicode_16 import as_unicode_15

CLASSES = {"letter": r"\p{L}", "number": r"\p{N}", "mark": r"\p{M}", "punctuation": r"\p{P}", "space": r"\s"}
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def classes_of_all() -> list[tuple[str, ...]]:
    """The classes of each of CODES."""
    text = as_unicode_15("".join(map(chr, CODES)))
    members = {name: _matching(text, pattern) for name, pattern in CLASSES.items()}
    return [tuple(name for name in CLASSES if i in members[name]) for i in range(len(CODES))]


def _matching(text: str, pattern: str) -> set[int]:
    rest = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
    others = {i for _, (start, end) in rest for i in range(start, end)}
    return set(range(len(text))) - others


def ranges() -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """First and last code point of each run with the same classes, those with none left out."""
    first, last = 0, -1
    current: tuple[str, ...] = ()
    for code, classes in zip(CODES, classes_of_all(), strict=True):
        if classes != current or code != last + 1:
            if current:
                yield first, last, current
            first, current = code, classes
        last = code
    if current:
        yield first, last, current


if __name__ == "__main__":
    for first, last, classes in ranges():
        print(f"{{0x{first:X}, 0x{last:X}, {' | '.join(classes)}}},")
