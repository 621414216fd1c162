"""Contracts of integer matrix products: packed ternary weights times int8 activations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.formats import TERNARY
from bitparity.formats.base import Bytes, TernaryFormat
from bitparity.fuzz.cases import DEFINITIONS, BytesCase, ProductCase
from bitparity.fuzz.contracts.base import contract, in_process, writes_memory
from bitparity.fuzz.contracts.formats import any_bytes, legal_bytes
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.memory import PLAIN, Placement
from bitparity.fuzz.strategies import packed_bytes, products
from bitparity.fuzz.violation import expect_equal

THREADS, REPEATS = 4, 8


def _packed(case: ProductCase, name: str) -> Bytes:
    definition: TernaryFormat = DEFINITIONS[name]  # type: ignore[assignment]
    return definition.pack_codes(case.codes(), 1.0)


def _multiply(
    subject: Implementation, name: str, case: ProductCase, x: NDArray[np.int8], placement: Placement = PLAIN
) -> NDArray[np.int64]:
    packed = _packed(case, name)
    sums: NDArray[np.int64] = subject.run(
        "multiply", name, packed, case.rows, case.cols, x, placement=placement
    )
    return sums


@contract("kernels", ("multiply",), TERNARY, products)
def multiplies_exactly(case: ProductCase, name: str, subject: Implementation) -> None:
    """Every sum equals the int64 sum of code x activation, whatever its size and sign."""
    x = case.x()
    expected = x.astype(np.int64) @ case.codes().T.astype(np.int64)
    expect_equal(expected, _multiply(subject, name, case, x), f"{name} products")


@contract("kernels", ("unpack", "multiply"), TERNARY, packed_bytes)
def kernel_reads_what_the_decoder_reads(case: BytesCase, name: str, subject: Implementation) -> None:
    """Any bytes that are not refused multiply as the weights that they unpack to, illegal codes included."""
    packed = any_bytes(name, case) if case.seed % 2 else legal_bytes(name, case)
    DEFINITIONS[name].scales_in(packed, case.rows, case.cols)[...] = 1
    try:
        weights = subject.run("unpack", name, packed, case.rows, case.cols)
    except BadInput:
        return
    rng = np.random.default_rng(case.seed)
    x = rng.integers(-127, 128, (2, case.cols), dtype=np.int8)
    expected = x.astype(np.int64) @ weights.T.astype(np.int64)
    actual = subject.run("multiply", name, packed, case.rows, case.cols, x)
    expect_equal(expected, actual, f"{name} products of any bytes")


@contract("kernels", ("multiply",), TERNARY, products)
def tokens_do_not_mix(case: ProductCase, name: str, subject: Implementation) -> None:
    """Column j of the product with many tokens equals the product with token j alone."""
    x = case.x()
    together = _multiply(subject, name, case, x)
    token = case.seed % case.tokens
    alone = _multiply(subject, name, case, np.ascontiguousarray(x[token : token + 1]))
    expect_equal(alone[0], together[token], f"{name} products of token {token}")


@contract("kernels", ("multiply",), TERNARY, products, writes_memory)
def multiplying_keeps_to_its_memory(case: ProductCase, name: str, subject: Implementation) -> None:
    """At any alignment every sum is written, no byte outside the output is, and what the output held
    before has no effect."""
    x = case.x()
    first = _multiply(subject, name, case, x, Placement(offset=0, poison=0x00))
    again = _multiply(subject, name, case, x, Placement(offset=1 + case.seed % 63, poison=0xFF))
    expect_equal(first, again, f"{name} products in poisoned memory")


@contract("kernels", ("multiply",), TERNARY, products, in_process)
def threads_do_not_race(case: ProductCase, name: str, subject: Implementation) -> None:
    """Calls from several threads at once, repeated, all give the same sums."""
    x = case.x()
    expected = _multiply(subject, name, case, x)
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(lambda _: _multiply(subject, name, case, x), range(REPEATS)))
    for result in results:
        expect_equal(expected, result, f"{name} products from {THREADS} threads")
