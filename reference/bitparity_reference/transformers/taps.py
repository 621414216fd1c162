"""Where the values of stages are seen in a model object of transformers, and the hooks that see them.

A stage with a weight is the output of the module that has it.  A stage without one is the input of the module
that reads it, or the output of its block.  What lies inside the attention is seen by the attention function
(attention.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bitparity.architectures.graph import Architecture, GraphStage
from bitparity.engine import Floats
from bitparity.model.types import HyperParameters
from bitparity.noise.perturb import move
from bitparity.stages import stage_named
from bitparity_reference.transformers.attention import Attention
from bitparity_reference.transformers.classes import class_of, full_name, module_of
from bitparity_reference.transformers.state import rotated_order

Side = Literal["input", "output", "attention"]
Hear = Callable[[str, int, int, Floats], None]  # stage, layer, position, values (n, width)
_ATTENTION = ("q_rope", "k_rope", "attn_probs")
_IN_PAIRS = ("q_proj", "k_proj", "q_rope", "k_rope")  # heads whose dimensions RoPE pairs
_NORMS_OF_HEADS = ("q_norm", "k_norm")


@dataclass(frozen=True)
class Point:
    """Where a stage is seen.

    module  inside its block (the block itself is empty); the full name outside the blocks
    side    of the module that has the value
    """

    stage: str
    module: str
    side: Side


def tap_points(architecture: Architecture) -> list[Point]:
    """Of every stage that transformers computes; `pooled` it leaves to its user."""
    computed = [stage for stage in architecture.stages if stage.kind != "direction"]
    return [_point(architecture, stage) for stage in computed]


def _point(architecture: Architecture, stage: GraphStage) -> Point:
    if stage.name in _ATTENTION:
        return Point(stage.name, "self_attn", "attention")
    if stage.weight:
        return Point(stage.name, module_of(architecture, stage), "output")
    if stage is architecture.block[-1]:
        return Point(stage.name, "", "output")
    reader = next(s for s in architecture.block if s.weight and stage.name in s.inputs)
    return Point(stage.name, module_of(architecture, reader), "input")


def move_norms(built: Any, hyper: HyperParameters, seed: int) -> None:
    """From now on move the outputs of all norms as bitparity.noise.perturb does."""
    rng = np.random.default_rng(seed)

    def moved(_module: Any, _inputs: Any, output: Any) -> Any:
        return output.new_tensor(move(output.cpu().numpy(), rng))

    for stage in hyper.architecture.stages:
        if stage.kind == "norm":
            for layer in _layers(stage.name, hyper):
                module = module_of(hyper.architecture, stage)
                built.get_submodule(full_name(module, layer)).register_forward_hook(moved)


def _layers(stage: str, hyper: HyperParameters) -> Iterable[int]:
    return range(hyper.n_layer) if stage_named(stage).in_block else (-1,)


class Taps:
    """Passes on the values of stages while somebody hears; the shapes and the order are those of the graph.

    built  model object of transformers
    """

    def __init__(self, built: Any, hyper: HyperParameters, attention: Attention) -> None:
        self.built, self._hyper, self._attention = built, hyper, attention
        self._points = tap_points(hyper.architecture)
        self._hooks: list[Any] = []
        self._hear: Hear | None = None
        self.position = 0  # of the first row of what is computed next

    def hear(self, hear: Hear | None) -> None:
        """From now on pass on every value; None ends it."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._hear = [], hear
        self._attention.onlooker = self._see_attention if hear else None
        if hear is not None:
            self._hooks = [hook for point in self._points for hook in self._hook(point)]

    def _see_attention(self, layer: int, query: Any, key: Any, probs: Any) -> None:
        rows = query.shape[2]
        for stage, value in (("q_rope", query), ("k_rope", key[:, :, -rows:]), ("attn_probs", probs)):
            self._pass_on(stage, layer, value.transpose(1, 2))

    def _hook(self, point: Point) -> list[Any]:
        if point.side == "attention":
            return []
        return [self._hook_one(point, layer) for layer in _layers(point.stage, self._hyper)]

    def _hook_one(self, point: Point, layer: int) -> Any:
        module = self.built.get_submodule(full_name(point.module, layer).rstrip("."))

        def see_output(_module: Any, _inputs: Any, output: Any) -> None:
            self._pass_on(point.stage, layer, output)

        def see_input(_module: Any, inputs: Any) -> None:
            self._pass_on(point.stage, layer, inputs[0])

        if point.side == "output":
            return module.register_forward_hook(see_output)
        return module.register_forward_pre_hook(see_input)

    def _pass_on(self, stage: str, layer: int, value: Any) -> None:
        assert self._hear is not None
        if stage in _NORMS_OF_HEADS and class_of(self._hyper.architecture).norms_heads_first:
            value = value.transpose(1, 2)
        values = value[0].float().cpu().numpy().reshape(value.shape[1], -1)
        if stage in _IN_PAIRS and self._hyper.rope_pairs == "norm":
            values = self._as_in_the_file(values)
        self._hear(stage, layer, self.position, np.array(values))

    def _as_in_the_file(self, values: Floats) -> Floats:
        """Heads in the order of a file whose RoPE pairs are (2i, 2i + 1)."""
        head_dim = self._hyper.head_dim
        heads = values.reshape(len(values), -1, head_dim)
        out = np.empty_like(heads)
        out[..., rotated_order(head_dim)] = heads
        return out.reshape(values.shape)
