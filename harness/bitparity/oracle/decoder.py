"""The whole forward pass of one sequence, stage by stage, with its KV cache.

Inside a stage the oracle works in float64; between stages it hands on float32, because that is what a trace
holds.  So the oracle's own run judges itself with nothing but the rounding of each stage's output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitparity.oracle.definition import Definition, Place, needs_of, stages_of
from bitparity.oracle.ops import Doubles, Singles

Record = Callable[[str, Place, Singles], None]
AFTER_ATTENTION = "attn_residual"  # from here on rows do not depend on each other


class Decoder:
    """A sequence that grows: `forward` continues at `position`."""

    def __init__(self, definition: Definition) -> None:
        hyper = definition.hyper
        self.definition = definition
        self.position = 0
        self._block = [
            name for name in stages_of(hyper) if name not in ("embeddings", "final_norm", "logits")
        ]
        self._keys = [np.empty((0, hyper.n_embd_kv)) for _ in range(hyper.n_layer)]
        self._values = [np.empty((0, hyper.n_embd_kv)) for _ in range(hyper.n_layer)]

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
        n_layer = self.definition.hyper.n_layer
        for layer in range(n_layer):
            reduce = last_only and layer == n_layer - 1
            x = self._run_block(run, Place(layer, positions, rows), x, reduce=reduce)
        end = Place(-1, positions[-len(x) :], len(x))
        x = run.stage("final_norm", end, {"block_input": x})
        logits = run.stage("logits", end, {"final_norm": x})
        self.position += rows
        return logits.astype(np.float32)

    def rollback(self, to: int) -> None:
        """Forget every position >= to."""
        self._keys = [k[:to] for k in self._keys]
        self._values = [v[:to] for v in self._values]
        self.position = to

    def _run_block(self, run: _Run, place: Place, x: Doubles, *, reduce: bool) -> Doubles:
        layer = place.layer
        made: dict[str, Any] = {"block_input": x}
        for name in self._block:
            if name == AFTER_ATTENTION and reduce:
                place = Place(layer, place.positions[-1:], 1)
                made = {key: made[key][-1:] for key in needs_of(name, self.definition.hyper)}
            if name == "attn_probs":
                self._keys[layer] = np.concatenate((self._keys[layer], made["k_rope"]))
                self._values[layer] = np.concatenate((self._values[layer], made["v_proj"]))
                made |= {"keys": self._keys[layer], "values": self._values[layer]}
            made[name] = run.stage(name, place, made)
        out: Doubles = made[self._block[-1]]
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
