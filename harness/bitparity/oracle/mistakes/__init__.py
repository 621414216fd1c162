"""Mistakes that engines really make, each as another definition of the stages that it changes.

row.py        what a row of the table is
norms.py      rows for norms
rotations.py  rows for RoPE
attention.py  rows for softmax rows, for the mean of the values, and for the cache
products.py   rows for products with matrices, the head among them
rest.py       rows for activations, residual sums and embeddings

Blame tries them to put a guilty stage's error into words; the fault catalogue plants them to prove that blame
finds them.  A new mistake is one function and one row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bitparity.architectures.graph import CACHES
from bitparity.oracle.definition import Definition
from bitparity.oracle.mistakes import attention, norms, products, rest, rotations
from bitparity.oracle.mistakes.row import Row

MISTAKES: tuple[Row, ...] = (*norms.ROWS, *rotations.ROWS, *attention.ROWS, *products.ROWS, *rest.ROWS)


@dataclass(frozen=True)
class Mistake:
    """words        a clause with the engine as its subject: "computes SiLU where ReLU² is defined"
    definition   what computes the stage so, from what a trace holds
    in_a_run     what computes it so in a run, where more is at hand
    is_rounding  the function is the same in another arithmetic
    """

    words: str
    definition: Definition
    in_a_run: Definition
    is_rounding: bool = False


def mistakes_of(definition: Definition, name: str, inputs: dict[str, Any]) -> Iterator[Mistake]:
    """Every known mistake that could have changed this stage of this model, given its inputs."""
    stage = definition.stages[name]
    rows = [row for row in MISTAKES if row.kind == stage.kind and row.applies(definition, stage)]
    for need in CACHES:
        if need in stage.inputs:
            rows += attention.stale_rows(stage, len(inputs[need]))
    for row in rows:
        made = row.make(definition)
        in_a_run = made if row.in_a_run is None else row.in_a_run(definition)
        yield Mistake(row.clause(definition, stage), made, in_a_run, row.is_rounding)
