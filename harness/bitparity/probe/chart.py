"""Small models on which every alternative shows, like the letters of an eye chart.

An alternative is seen when int8 rounding amplifies it: a value at a tie turns a difference of 1e-4 into a
whole code.  So norms are made to come out exact, in any order of sums: embeddings are halves of small
integers, their mean square and epsilon add up to 1, and norm weights are powers of two.  Then half of the
int8 codes of a token are exact ties, whose rounding shows in everything that follows.  Tokens take turns:

    id mod 4 = 0   the largest value is 127 steps, so codes are ties where the largest code is 127
    id mod 4 = 1   the largest value is 128 steps: ties where it is 128
    else           ordinary values, of as many bits as F16 has

SEED is the one of six on which the two nearest alternatives are furthest apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import get_format
from bitparity.formats.base import Bytes, Floats
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.oracle.ops import Doubles
from bitparity.probe.parts import ATTENTION, FEED_FORWARD, branches, write_changed

Indices = NDArray[np.int64]

SEED = 2
EPSILON = 2.0**-16
STEP = 2.0**-5  # of the embedding; mean square 1 is then 1024 square steps
BLOCK = 32  # the largest value of a token is in each of these, so that any share of a scale has it
FREE = 4  # values that make the sum of squares come out right
_SPREAD = 40  # steps
_CLASSES = 4
LARGEST = (127, 128)  # steps, of the first classes
GENERAL = 2  # class of ordinary tokens

_TINY = ModelSpec(n_vocab=512)
# Token ids by kind of part: some begin with ties, for position 0 sees nothing else.
SEQUENCES: dict[str, tuple[tuple[int, ...], ...]] = {
    "ends": ((2, 3, 0, 6, 1, 7),),
    FEED_FORWARD: ((2, 0, 4, 8, 3, 1, 5, 9), (6, 12, 13, 7)),
    ATTENTION: ((2, 3, 6, 7, 10), (0, 11, 4, 14, 8), (1, 15, 5, 18, 9)),
    "whole": ((2, 0, 3, 1, 6), (7, 4, 10, 5, 11)),
}
# In the order in which they are tried with an engine that says nothing of what it runs.
CHARTS = (
    replace(_TINY, arch="bitnet-b1.58"),
    _TINY,
    replace(_TINY, weight_format="TQ2_0"),
    replace(_TINY, arch="llama", weight_format="TQ2_0"),
    replace(_TINY, arch="llama"),
    replace(_TINY, arch="llama", weight_format="F16"),
    replace(_TINY, n_embd=512, n_head=8, n_head_kv=4, n_ff=1536),
    replace(_TINY, n_embd=512, n_head=8, n_head_kv=4, n_ff=1536, weight_format="TQ2_0"),
)


def chart_like(model: Model) -> ModelSpec:
    """A chart of the shapes and formats of a model, for an engine that takes no others."""
    hyper, layer = model.hyper, model.weights.layers[0]
    matrices = [tensor for tensor in layer.values() if len(tensor.shape) == 2]
    return replace(
        _TINY,
        arch=hyper.arch,
        n_embd=hyper.n_embd,
        n_head=hyper.n_head,
        n_head_kv=hyper.n_head_kv,
        n_ff=hyper.n_ff,
        weight_format=matrices[0].format,
        head_format=model.weights.head.format,
        key_length=hyper.head_dim if hyper.head_dim * hyper.n_head != hyper.n_embd else None,
        rope_base=hyper.rope_base,
    )


def small_chart_like(model: Model) -> ModelSpec:
    """A chart of the architecture and the formats of a model alone, which takes seconds at any size of it."""
    like = chart_like(model)
    return replace(_TINY, arch=like.arch, weight_format=like.weight_format, head_format=like.head_format)


def make_chart(path: Path, spec: ModelSpec) -> Model:
    """Write the model that all probes of a chart are parts of, and open it."""
    plain = path.with_suffix(".plain.gguf")
    make_model(plain, replace(spec, seed=SEED, norm_eps=EPSILON, name=f"probe, {spec.arch} {spec.n_embd}"))
    model = open_model(plain)
    write_changed(model, path, spec.n_layer, dict(_replaced(model)))
    plain.unlink()
    return open_model(path)


def _replaced(model: Model) -> Iterator[tuple[str, Bytes]]:
    table = model.weights.token_embd
    rows = embedding(model.hyper.n_vocab, model.hyper.n_embd)
    if model.hyper.architecture.scales_embeddings:
        rows = rows / np.float32(np.sqrt(model.hyper.n_embd))
    yield table.name, get_format(table.format).pack(rows)
    generator = np.random.default_rng([SEED, 1])
    for name in _first_norms(model):
        # no halves: of embeddings that an engine keeps in int8 they would make ties, which its norms blur
        weight = generator.choice([1.0, 1.0, 2.0], model.tensors[name].shape[0]).astype(np.float32)
        weight[::BLOCK] = 1
        yield name, get_format(model.tensors[name].format).pack(weight[None, :])


def _first_norms(model: Model) -> list[str]:
    """Names of the norms that a branch begins with."""
    graph = model.hyper.architecture
    roles = {stages[0].weight for stages in branches(graph).values() if stages[0].kind == "norm"}
    names = [w for w in graph.weights if w.role in roles]
    return [weight.name(layer) for layer in range(model.hyper.n_layer) for weight in names]


def embedding(n_vocab: int, n_embd: int) -> Floats:
    """The rows of the tokens, (n_vocab, n_embd); n_embd a multiple of 128."""
    generator = np.random.default_rng([SEED, 0])
    ordinary = generator.standard_normal((n_vocab, n_embd), dtype=np.float32)
    rows = ordinary.astype(np.float16).astype(np.float32)
    for token in range(n_vocab):
        if token % _CLASSES < len(LARGEST):
            rows[token] = _ties(generator, n_embd, LARGEST[token % _CLASSES]) * STEP
    return rows


def _ties(generator: np.random.Generator, n: int, largest: int) -> Floats:
    """Halves of odd numbers, the largest once a block, whose mean square in steps is 1 / STEP^2 - epsilon."""
    total = round(n * (1 - EPSILON) / STEP**2)
    values = generator.uniform(-_SPREAD, _SPREAD, n)
    values[::BLOCK] = largest * generator.choice([-1, 1], len(values[::BLOCK]))
    free = np.arange(1, n, BLOCK)[-FREE:]
    values[free] = 0
    others = np.setdiff1d(np.arange(n), [*range(0, n, BLOCK), *free])
    values[others] = _with_sum_of_squares(values, others, total - 4 * _SPREAD**2 // 3)
    values[free] = _four_squares(int(total - np.sum(values**2)))
    out: Floats = values.astype(np.float32)
    return out


def _with_sum_of_squares(values: Doubles, others: Indices, total: float) -> Doubles:
    """Other halves, scaled so that all values have nearly this sum of squares."""
    wanted = total - (np.sum(values**2) - np.sum(values[others] ** 2))
    factor = np.sqrt(wanted / np.sum(values[others] ** 2))
    scaled: Doubles = np.floor(values[others] * factor) + 0.5
    return scaled


def _four_squares(total: int) -> list[int]:
    """Four whole numbers whose squares have this sum: there always are some (Lagrange)."""
    roots = {k * k: k for k in range(isqrt(max(total, 0)) + 1)}
    for a, b, c in product(roots.values(), repeat=3):
        rest = total - a * a - b * b - c * c
        if rest in roots:
            return [a, b, c, roots[rest]]
    raise AssertionError(f"{total} is no sum of squares")
