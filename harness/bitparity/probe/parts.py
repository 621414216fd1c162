"""Models of which only a part is left: the branches of all other blocks add nothing to the residual stream.

A branch is silenced by zeros for the projection that it ends with.  Blocks keep their numbers, so a mistake
that is made in one layer only is still made there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bitparity.architectures.graph import CACHES, Architecture, GraphStage
from bitparity.formats import is_ternary
from bitparity.formats.base import Bytes
from bitparity.model.gguf_file import GgufFile
from bitparity.model.types import Model, Tensor
from bitparity.model.writer import TensorPlan, uint32_field, write_gguf

ATTENTION, FEED_FORWARD = "attention", "feed-forward"
ENDS = ("embeddings", "final_norm", "logits")


@dataclass(frozen=True)
class Part:
    """What is left of a model.

    live    branches that add to the stream, as (layer, ATTENTION or FEED_FORWARD)
    stages  (layer, stage) that this part is there to show
    kind    "ends", ATTENTION, FEED_FORWARD or "whole"
    at_position_0  stages that act where a position sees itself only: its softmax row is 1, whatever made it
    of_several     stages that take rows of several positions
    sums           of blocks that add nothing: they hand the stream on, and show where nothing else is left
    """

    name: str
    kind: str
    live: frozenset[tuple[int, str]]
    stages: tuple[tuple[int, str], ...]
    at_position_0: frozenset[str] = frozenset()
    of_several: frozenset[str] = frozenset()
    sums: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[int, ...]:
        """Blocks that add to the stream."""
        return tuple(sorted({layer for layer, _ in self.live}))

    @property
    def has_attention(self) -> bool:
        return any(branch == ATTENTION for _, branch in self.live)


def branches(architecture: Architecture) -> dict[str, tuple[GraphStage, ...]]:
    """The stages of a block up to its first sum, and those after it."""
    kinds = [stage.kind for stage in architecture.block]
    end = kinds.index("sum") + 1
    return {ATTENTION: architecture.block[:end], FEED_FORWARD: architecture.block[end:]}


def ends_part(architecture: Architecture) -> Part:
    """No branch is left: embeddings, final norm and head."""
    sums = tuple(stage.name for stage in architecture.block if stage.kind == "sum")
    return Part("ends", "ends", frozenset(), tuple((-1, stage) for stage in ENDS), sums=sums)


def branch_part(architecture: Architecture, layer: int, branch: str) -> Part:
    """One branch of one block."""
    graph = branches(architecture)[branch]
    return Part(
        f"layer {layer}, {branch}",
        branch,
        frozenset({(layer, branch)}),
        tuple((layer, stage.name) for stage in graph),
        _acting_at_0(graph),
        frozenset(stage.name for stage in graph if stage.kind in ("softmax", "context")),
    )


def _acting_at_0(graph: Sequence[GraphStage]) -> frozenset[str]:
    by_name = {stage.name: stage for stage in graph}
    found: set[str] = set()
    waiting = [graph[-1].name]
    while waiting:
        name = waiting.pop()
        name = CACHES.get(name, name)
        stage = by_name.get(name)
        if stage is not None and stage.kind != "softmax" and name not in found:
            found.add(name)
            waiting += stage.inputs
    return frozenset(found)


def whole_part(architecture: Architecture, n_layer: int) -> Part:
    """All of the first blocks."""
    live = {(layer, branch) for layer in range(n_layer) for branch in (ATTENTION, FEED_FORWARD)}
    return Part(f"all {n_layer} blocks", "whole", frozenset(live), ())


def left_of(model: Model, part: Part) -> Model:
    """The model with those stages only that a part leaves; blocks that add nothing are still among them."""
    graph = model.hyper.architecture
    lived = {branch for _, branch in part.live} or {FEED_FORWARD}
    if len(lived) > 1:
        return model
    (silent,) = {ATTENTION, FEED_FORWARD} - lived
    gone = {stage.name for stage in branches(graph)[silent]}
    instead = branches(graph)[silent][-1].name  # the sum, which is the stream that came in
    stages = tuple(
        replace(stage, inputs=tuple("block_input" if need == instead else need for need in stage.inputs))
        for stage in graph.stages
        if stage.name not in gone
    )
    return replace(model, hyper=replace(model.hyper, architecture=replace(graph, stages=stages)))


def write_part(model: Model, path: Path, part: Part, n_layer: int) -> None:
    """Write what is left of a model's first n_layer blocks."""
    write_changed(model, path, n_layer, _silenced(model, part, n_layer))


def write_changed(model: Model, path: Path, n_layer: int, replaced: Mapping[str, Bytes]) -> None:
    """Write the first n_layer blocks of a model with other data in some tensors."""
    file = GgufFile(model.path)
    fields = {key: file.raw_field(key) for key in file.metadata}
    fields[f"{model.hyper.architecture.gguf_name}.block_count"] = uint32_field(n_layer)
    plans = [
        TensorPlan(tensor.name, tensor.shape, tensor.format, _chunks(tensor, replaced.get(tensor.name)))
        for tensor in model.tensors.values()
        if _layer_of(tensor.name) < n_layer
    ]
    write_gguf(path, fields, plans, alignment=file.alignment)


def _chunks(tensor: Tensor, instead: Bytes | None) -> Callable[[], Iterable[Bytes]]:
    return lambda: [tensor.data if instead is None else instead]


def _layer_of(name: str) -> int:
    kind, *rest = name.split(".")
    return int(rest[0]) if kind == "blk" else -1


def _silenced(model: Model, part: Part, n_layer: int) -> dict[str, Bytes]:
    """Zeros for the last projection of every branch that is not left."""
    silenced: dict[str, Bytes] = {}
    for layer in range(n_layer):
        for branch, stages in branches(model.hyper.architecture).items():
            if (layer, branch) not in part.live:
                last = [stage for stage in stages if stage.kind == "projection"][-1]
                tensor = model.weights.layers[layer][last.weight]
                silenced[tensor.name] = zeros_of(tensor)
    return silenced


def zeros_of(tensor: Tensor) -> Bytes:
    """A matrix of zeros, packed as this one is.

    Scales of blocks become zero, as quantizers write them there: kernels that take weights 0, 1, 2 for
    -1, 0, 1 and subtract in float32 would leave 1e-7 of the input.  The one scale of a tensor stays.
    """
    form, (rows, cols) = tensor.weight_format, tensor.shape
    if is_ternary(form):
        codes, scales = form.unpack_codes(tensor.data, rows, cols)
        return form.pack_codes(np.zeros_like(codes), 0.0 if scales.size > 1 else float(scales.flat[0]))
    return form.pack(np.zeros((rows, cols), np.float32))
