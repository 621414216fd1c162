"""Embeddings, norm weights and ternary weights on which every alternative of an arithmetic shows.

An alternative is seen when int8 rounding amplifies it: a value at a tie turns a difference of 1e-4 into a
whole code.  So norms are made to come out exact, in any order of sums: embeddings are small integers times
STEP, their mean square and epsilon add up to 1, and norm weights are powers of two.  A norm weight of 1/2
then makes exact ties of odd integers, whose rounding shows in everything that follows.  Such embeddings are
the same in F16, BF16, int8 and Q8_0, so an engine that keeps them in one of these has the same ties.  Tokens
take turns:

    id mod 4 = 0   the largest value is 127 steps, so codes are ties where the largest code is 127
    id mod 4 = 1   the largest value is 128 steps: ties where it is 128
    id mod 4 = 2   ordinary values, of as many bits as F16 has
    id mod 4 = 3   ordinary values which are ties themselves, in a head that is kept in int8

Where codes are cut off, the largest value of a block is at a border itself: 127 over it, times it, is 127 or
a float32 step less, by its last bit.  Three things keep that from showing.  The largest ordinary value over a
power of two lies between 127/128 and 1 after the norm, where the product is 127 whatever the last bit is.  It
is positive, so that 128 is clipped to 127.  And inside a branch the first value of each block is the largest
one, and the projection that ends the branch has zeros for it.
"""

from __future__ import annotations

from itertools import product
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Codes, Floats
from bitparity.oracle.ops import Doubles

Indices = NDArray[np.int64]

SEED = 2  # the one of six on which the two nearest alternatives are furthest apart
EPSILON = 2.0**-16
STEP = 2.0**-5  # of the embedding; mean square 1 is then 1024 square steps
BLOCK = 32  # columns with special ones among them, so that any share of a scale has some

_HAS_127, _HAS_128, _HAS_ORDINARY = 0, 1, 2  # special columns of each block: which tokens are largest there
_WEIGHTS = (0.5, 0.5, 1.0)  # norm weights of all other columns
_CLASSES = 4
_WHOLE = {0: 127, 1: 128}  # steps after the norm of the largest value, by class
_ARE_TIES = 3  # class of ordinary tokens
_SPREAD = 40  # steps
_FREE = 4  # values that make the sum of squares come out right
# Of blocks of size 1, 1/2, 1/4 and 1/8: the largest ordinary value over the size, and its norm weight.  Their
# product is 7.95 to 7.99, not twice the same, so that no code of one in the scale of another is an integer or
# a tie; nor is one of an int8 embedding, since the weights are primes above 127 over 256.
_LARGEST = np.array([127 * 2.0**-4, 1990 / 256, 1941 / 256, 1924 / 256])
_LARGEST_WEIGHTS = np.array([257, 263, 269, 271]) / 256
_SOME = 64  # tokens that stand for all


def embedding(n_vocab: int, n_embd: int) -> Floats:
    """The rows of the tokens, (n_vocab, n_embd); n_embd a multiple of 128."""
    generator = np.random.default_rng([SEED, 0])
    rows = np.empty((n_vocab, n_embd), np.float32)
    for token in range(n_vocab):
        kind = token % _CLASSES
        if kind in _WHOLE:
            rows[token] = _ties(generator, n_embd, _WHOLE[kind]) * STEP
        else:
            is_even = token // _CLASSES % 2 == 1
            rows[token] = _ordinary(generator, n_embd, is_even=is_even, are_ties=kind == _ARE_TIES)
    return rows


def norm_weight(generator: np.random.Generator, n: int) -> Floats:
    """The weight of a norm that reads embeddings, (n,)."""
    weight = generator.choice(_WEIGHTS, n)
    column = np.arange(n) % BLOCK
    weight[column == _HAS_127] = 1
    weight[column == _HAS_128] = 2
    out: Floats = np.where(column == _HAS_ORDINARY, _LARGEST_WEIGHTS[_halvings(n)], weight).astype(np.float32)
    return out


def with_largest_first(codes: Codes, weight: Floats, times: float) -> Codes:
    """Ternary codes of which every block of rows begins with the one that gives the largest values.

    Every other 256 rows have half the size, so that it shows whether 256 values have a scale of their own.

    codes   (rows, cols)
    weight  of the norm before them, (cols,)
    times   how many times the size of the values of other rows the first one gives at least
    """
    rows, cols = codes.shape
    tokens = embedding(_SOME, cols) * weight
    is_special = np.isin(np.arange(cols) % BLOCK, (_HAS_127, _HAS_128, _HAS_ORDINARY))
    out = np.where(is_special, 0, codes)
    is_half = np.arange(rows) // 256 % 2 == 1  # a quarter of a row's values make half of its size
    out[is_half[:, None] & (np.random.default_rng([SEED, 2]).random(codes.shape) > 0.25)] = 0
    for start in range(0, rows, BLOCK):
        others = tokens @ out[start + 1 : start + BLOCK].astype(np.float32).T
        out[start] = _row_with(tokens, times * np.sqrt(np.mean(others**2)))
    return out


def without_first(codes: Codes) -> Codes:
    """Ternary codes, (rows, cols), that take nothing from the first column of a block."""
    return np.where(np.arange(codes.shape[1]) % BLOCK == 0, np.int8(0), codes)


def _row_with(tokens: Floats, least: float) -> Codes:
    """Ones where tokens are large, so many that its product with each of them is above a limit."""
    row = np.zeros(tokens.shape[1], np.int8)
    for special, is_whole in ((_HAS_127, True), (_HAS_ORDINARY, False)):
        own = tokens[[(token % _CLASSES in _WHOLE) == is_whole for token in range(len(tokens))]]
        for column in range(special, len(row), BLOCK):
            row[column] = 1
            if (own @ row).min() > least:
                break
    return row


def _halvings(n: int) -> Indices:
    """How often each block is halved, 0 to 3: of two, four or eight blocks one is the largest."""
    return np.array([(block % 8).bit_count() for block in (np.arange(n) // BLOCK).tolist()])


def _ordinary(generator: np.random.Generator, n: int, *, is_even: bool, are_ties: bool) -> Floats:
    """F16 numbers of mean square 1 - epsilon.

    Their blocks are halved as _halvings says, so that it shows how many share a scale.  Where all are even
    the largest value is half as large, so that the scale of one token is not that of all.
    """
    size = np.full(n, 1.0) if is_even else 0.5 ** _halvings(n)
    largest = _LARGEST[_halvings(n)] * size * (0.5 if is_even else 1)
    is_largest = np.arange(n) % BLOCK == _HAS_ORDINARY
    values = generator.uniform(-1, 1, n) * size
    values[_HAS_128::BLOCK] /= 2
    rest = n * (1 - EPSILON) - np.sum(largest[is_largest] ** 2)
    values *= np.sqrt(rest / np.sum(values[~is_largest] ** 2))
    if are_ties:
        step = largest.max() / 127
        values = (np.floor(values / step) + 0.5) * step
    out: Floats = np.where(is_largest, largest, values).astype(np.float16).astype(np.float32)
    return out


def _ties(generator: np.random.Generator, n: int, largest: int) -> Floats:
    """Odd numbers, the largest after the norm once a block, of mean square (1 - epsilon) / STEP^2."""
    total = round(n * (1 - EPSILON) / STEP**2)
    values = generator.uniform(-_SPREAD, _SPREAD, n)
    column = np.arange(n) % BLOCK
    is_fixed = column == _HAS_127
    values[is_fixed] = 127
    if largest == 128:
        values[column == _HAS_128] = 64
        is_fixed |= column == _HAS_128
    free = np.flatnonzero(~is_fixed)[-_FREE:]
    values[free] = 0
    others = np.setdiff1d(np.flatnonzero(~is_fixed), free)
    values[others] = _with_sum_of_squares(values, others, total - _FREE * _SPREAD**2)
    values[free] = _four_squares(int(total - np.sum(values**2)))
    out: Floats = values.astype(np.float32)
    return out


def _with_sum_of_squares(values: Doubles, others: Indices, total: float) -> Doubles:
    """The others as odd numbers, scaled so that all values have nearly this sum of squares."""
    wanted = total - (np.sum(values**2) - np.sum(values[others] ** 2))
    factor = np.sqrt(wanted / np.sum(values[others] ** 2))
    scaled: Doubles = 2 * np.floor(values[others] * factor / 2) + 1
    return scaled


def _four_squares(total: int) -> list[int]:
    """Four whole numbers whose squares have this sum: there always are some (Lagrange)."""
    roots = {k * k: k for k in range(isqrt(max(total, 0)) + 1)}
    for a, b, c in product(roots.values(), repeat=3):
        rest = total - a * a - b * b - c * c
        if rest in roots:
            return [a, b, c, roots[rest]]
    raise AssertionError(f"{total} is no sum of squares")
