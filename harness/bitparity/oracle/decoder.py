"""The whole forward pass of one sequence, stage by stage, with its KV cache.

Inside a stage the oracle works in float64; between stages it hands on float32, because that is what a trace
holds.  So when the oracle judges its own run, the rounding of each stage's output is the only error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitparity.architectures.graph import CACHES, LAST_OF_ATTENTION
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles, Singles

Record = Callable[[str, Place, Singles], None]


class Decoder:
    """A sequence that grows: `forward` continues at `position`.

    layers  blocks that are run, in order; None is all.  Others add nothing to the residual stream
    """

    def __init__(self, definition: Definition, layers: Sequence[int] | None = None) -> None:
        hyper = definition.hyper
        self.definition = definition
        self.position = 0
        self._layers = range(hyper.n_layer) if layers is None else layers
        self._block = hyper.architecture.block
        self._caches = [
            {name: np.empty((0, hyper.n_embd_kv)) for name in CACHES} for _ in range(hyper.n_layer)
        ]

    def forward(
        self, tokens: Sequence[int], *, last_only: bool = False, record: Record | None = None
    ) -> Singles:
        """Run tokens as one batch; returns (n, n_vocab), or (1, n_vocab) when only the last row is asked for.

        record gets every stage's name, place and float32 output in graph order.
        """
        rows = len(tokens)
        positions = np.arange(self.position, self.position + rows)
        run = _Run(self.definition, record)
        x = run.stage("embeddings", Place(-1, positions, rows), {"tokens": list(tokens)})
        for layer in self._layers:
            reduce = last_only and layer == self._layers[-1]
            x = self._run_block(run, Place(layer, positions, rows), x, reduce=reduce)
        end = Place(-1, positions[-len(x) :], len(x))
        x = run.stage("final_norm", end, {"block_input": x})
        if "pooled" in self.definition.stages:
            run.stage("pooled", end, {"final_norm": x})
        logits = run.stage("logits", end, {"final_norm": x})
        self.position += rows
        return logits.astype(np.float32)

    def rollback(self, to: int) -> None:
        """Forget every position >= to."""
        self._caches = [{name: rows[:to] for name, rows in caches.items()} for caches in self._caches]
        self.position = to

    def _run_block(self, run: _Run, place: Place, x: Doubles, *, reduce: bool) -> Doubles:
        layer, caches = place.layer, self._caches[place.layer]
        made: dict[str, Any] = {"block_input": x}
        for stage in self._block:
            made[stage.name] = run.stage(stage.name, place, made)
            if stage.name == LAST_OF_ATTENTION and reduce:
                place = Place(layer, place.positions[-1:], 1)
                made = {name: rows[-1:] for name, rows in made.items()}
            for name, fills in CACHES.items():
                if fills == stage.name:
                    made[name] = caches[name] = np.concatenate((caches[name], made[stage.name]))
        out: Doubles = made[self._block[-1].name]
        return out


class _Run:
    """One batch: computes a stage, rounds it to float32, records it."""

    def __init__(self, definition: Definition, record: Record | None) -> None:
        self._definition = definition
        self._record = record

    def stage(self, name: str, place: Place, inputs: dict[str, Any]) -> Doubles:
        out = self._definition.compute(name, place, inputs).astype(np.float32)
        if self._record:
            self._record(name, place, out)
        return out.astype(np.float64)
