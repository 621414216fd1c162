"""A row of the table of mistakes, and ways to write the one function that each row has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bitparity.architectures.graph import GraphStage, Kind
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles

How = Callable[..., Doubles]  # (definition, stage, place, *inputs of the stage)
ACTIVATIONS = {"silu": "SiLU", "relu2": "ReLU²", "gelu": "GELU"}


def always(definition: Definition, stage: GraphStage) -> bool:
    return True


@dataclass(frozen=True)
class Row:
    """A way to be wrong at one kind of stage.

    words        a clause with the engine as its subject; what stands in braces is filled in by `names`
    make         the definition with this mistake
    applies      whether a stage of a model can have it
    planted_at   the stage that the fault catalogue plants it at; None is the usual one of the kind
    is_rounding  the function is the same in another arithmetic
    in_a_run     the same where a run is computed and not a stage judged; None is as `make` says
    """

    kind: Kind
    words: str
    make: Callable[[Definition], Definition]
    applies: Callable[[Definition, GraphStage], bool] = always
    planted_at: str | None = None
    is_rounding: bool = False
    in_a_run: Callable[[Definition], Definition] | None = None

    def clause(self, definition: Definition, stage: GraphStage) -> str:
        return self.words.format(**_names(definition, stage))


def _names(definition: Definition, stage: GraphStage) -> dict[str, object]:
    """What the words of a row may refer to."""
    hyper = definition.hyper
    pairs = {"neox": f"(i, i + {hyper.rope_dim // 2})", "norm": "(2i, 2i + 1)"}
    return {
        "hyper": hyper,
        "first_input": stage.inputs[0].replace("_", " ") if stage.kind == "sum" else stage.inputs[0],
        "second_input": stage.inputs[-1].replace("_", " ") if stage.kind == "sum" else stage.inputs[-1],
        "pairs": pairs.pop(hyper.rope_pairs),
        "other_pairs": next(iter(pairs.values())),
        "group": hyper.n_head // hyper.n_head_kv,
        "activation": ACTIVATIONS[hyper.activation],
    }


class Instead(Definition):
    """A definition whose stages of one kind are computed by another function."""

    kind: Kind
    how: How

    def compute(self, name: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        stage = self.stages[name]
        if stage.kind != self.kind:
            return super().compute(name, place, inputs)
        return self.how(self, stage, place, *(inputs[need] for need in stage.inputs))


def instead(kind: Kind, how: How) -> Callable[[Definition], Definition]:
    """Compute stages of a kind by `how`."""

    def make(definition: Definition) -> Definition:
        changed = Instead(definition.hyper, definition.weights, definition.arithmetic)
        changed.kind, changed.how = kind, how
        return changed

    return make


def hyper(**changes: Any) -> Callable[[Definition], Definition]:
    """Other hyperparameters."""

    def make(definition: Definition) -> Definition:
        changed = replace(definition.hyper, **changes)
        return Definition(changed, definition.weights, definition.arithmetic)

    return make


def differs(axis: str, option: str) -> Callable[[Definition, GraphStage], bool]:
    """Whether an arithmetic does something else at this axis."""
    return lambda definition, stage: definition.arithmetic.option(axis) != option


def arithmetic(**changes: str) -> Callable[[Definition], Definition]:
    """Other options at some axes of the arithmetic."""

    def make(definition: Definition) -> Definition:
        changed = definition.arithmetic.having(**changes)
        return Definition(definition.hyper, definition.weights, changed)

    return make
