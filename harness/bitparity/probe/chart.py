"""Small models on which every alternative shows, like the letters of an eye chart: see chart_values.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitparity.architectures.graph import CACHES
from bitparity.formats import get_format, is_ternary
from bitparity.formats.base import Bytes, Codes, Floats
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model, Tensor
from bitparity.probe.chart_values import (
    EPSILON,
    SEED,
    embedding,
    norm_weight,
    with_largest_first,
    without_first,
)
from bitparity.probe.parts import ATTENTION, FEED_FORWARD, branches, write_changed

# How many times the size of others the first value of a block is, before attention and before an activation,
# whose output is a product and so has a longer tail.
_TIMES_IN_ATTENTION, _TIMES_IN_PRODUCT = 4.0, 3.0
# Scales of projections, over those of a random model: scores are further apart, and a branch adds more than
# the stream has, so that a value which is rounded in it shows in the logits.
_SHARPER, _LOUDER = 4.0, 8.0

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
    """New data of the tensors that are not random, by name."""
    table, architecture = model.weights.token_embd, model.hyper.architecture
    rows = embedding(model.hyper.n_vocab, model.hyper.n_embd)
    if architecture.scales_embeddings:
        rows = rows / np.float32(np.sqrt(model.hyper.n_embd))
    yield table.name, get_format(table.format).pack(rows)
    generator = np.random.default_rng([SEED, 1])
    for layer in model.weights.layers:
        for branch, stages in branches(architecture).items():
            norm = stages[0]
            weight = np.ones(model.hyper.n_embd, np.float32)
            if norm.kind == "norm":
                weight = norm_weight(generator, model.hyper.n_embd)
                tensor = layer[norm.weight]
                yield tensor.name, get_format(tensor.format).pack(weight[None, :])
            yield from _matrices(model, layer, branch, weight)


def _matrices(
    model: Model, layer: Mapping[str, Tensor], branch: str, weight: Floats
) -> Iterator[tuple[str, Bytes]]:
    """Projections of a branch after its norm, by name."""
    by_name = model.hyper.architecture.by_name
    stages = branches(model.hyper.architecture)[branch]
    *_, last = (stage.weight for stage in stages if stage.kind == "projection")
    if branch == ATTENTION:
        before, times = [CACHES["values"]], _TIMES_IN_ATTENTION
        yield _changed(layer[by_name["q_proj"].weight], lambda codes: codes, _SHARPER)
    else:
        before, times = [n for s in stages if s.kind == "product" for n in s.inputs], _TIMES_IN_PRODUCT
    for name in before:
        yield _changed(layer[by_name[name].weight], lambda codes: with_largest_first(codes, weight, times))
    yield _changed(layer[last], without_first, _LOUDER)


def _changed(tensor: Tensor, change: Callable[[Codes], Codes], factor: float = 1.0) -> tuple[str, Bytes]:
    """A matrix with another scale and, if it is ternary, other codes; they have one scale."""
    form = tensor.weight_format
    if not is_ternary(form):
        return tensor.name, form.pack(tensor.values() * np.float32(factor))
    codes, scales = form.unpack_codes(tensor.data, *tensor.shape)
    return tensor.name, form.pack_codes(change(codes), float(scales.flat[0]) * factor)
