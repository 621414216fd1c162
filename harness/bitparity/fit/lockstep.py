"""One sequence computed in many ways at once: what ways have in common is computed once.

The oracle would need a run for each way.  Two ways that differ at the KV cache still have the same
embeddings, and after the first V they still multiply with the same matrices.  So a value is computed once for
all ways that came to it alike, and the values that go through one matrix go through it together; a thousand
ways cost little more than one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.architectures.graph import CACHES, GraphStage
from bitparity.compare.sample import sample_columns
from bitparity.engine import Floats
from bitparity.fit.observed import Observed
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles
from bitparity.oracle.weights import product

Indices = NDArray[np.int64]
_EPSILON = 1e-30  # logits that are all zero are no division by zero


@dataclass(frozen=True)
class Way:
    """A way to compute the model.

    changed  what computes some stages instead, by (layer, stage)
    """

    definition: Definition
    changed: Mapping[tuple[int, str], Definition] = field(default_factory=dict)

    def at(self, layer: int, stage: str) -> Definition:
        return self.changed.get((layer, stage), self.definition)


@dataclass(frozen=True)
class Shared:
    """A stage's output in all ways.

    rows  (different values, elements)
    of    (ways,): which of them a way has
    """

    rows: Doubles
    of: Indices

    def having(self, ways: Indices) -> Doubles:
        """The values of some ways, (len(ways), elements)."""
        out: Doubles = self.rows[self.of[ways]]
        return out


class Lockstep:
    """Sequences that grow together, one for each way; all have the same tokens.

    layers  as in the decoder
    """

    def __init__(self, ways: Sequence[Way], layers: Sequence[int] | None = None) -> None:
        self._ways = ways
        self._hyper = ways[0].definition.hyper
        self._layers = range(self._hyper.n_layer) if layers is None else layers
        self._position = 0
        self._came = np.zeros(len(ways), np.int64)  # ways with the same number have computed all alike so far
        self._caches: list[dict[str, list[Shared]]] = [
            {name: [] for name in CACHES} for _ in range(self._hyper.n_layer)
        ]
        self._kinds: dict[tuple[int, str, int], Indices] = {}
        self._changing = [way for way in ways if way.changed]

    def forward(self, token: int, rows: int) -> Shared:
        """Logits after one more token, of n_vocab elements; rows of the batch that the engine computed."""
        tokens = Shared(np.array([token]), np.zeros(len(self._ways), np.int64))
        x = self._stage("embeddings", -1, rows, {"tokens": tokens})
        for layer in self._layers:
            x = self._block(layer, rows, x)
        x = self._stage("final_norm", -1, rows, {"block_input": x})
        logits = self._stage("logits", -1, rows, {"final_norm": x})
        self._position += 1
        return logits

    def _block(self, layer: int, rows: int, x: Shared) -> Shared:
        made = {"block_input": x}
        block = self._hyper.architecture.block
        for stage in block:
            made[stage.name] = self._stage(stage.name, layer, rows, made)
            for name, fills in CACHES.items():
                if fills == stage.name:
                    self._caches[layer][name].append(made[stage.name])
        return made[block[-1].name]

    def _stage(self, name: str, layer: int, rows: int, made: Mapping[str, Shared]) -> Shared:
        """One stage, once for all ways that came to it alike, rounded to float32 as the decoder does."""
        kinds = self._kinds_at(layer, name, rows)
        _, first, self._came = np.unique(
            self._came * (int(kinds.max()) + 1) + kinds, return_index=True, return_inverse=True
        )
        parts = [np.flatnonzero(kinds[first] == kind) for kind in np.unique(kinds[first])]
        outputs = self._outputs(name, layer, rows, [first[part] for part in parts], made)
        ((shape, _),) = Counter(values.shape[1:] for values in outputs).most_common(1)
        out = np.full((len(first), *shape), np.nan)
        for part, values in zip(parts, outputs, strict=True):
            if values.shape[1:] == shape:  # a mistake may give another
                out[part] = values.astype(np.float32)
        return Shared(out, self._came)

    def _outputs(
        self, name: str, layer: int, rows: int, parts: Sequence[Indices], made: Mapping[str, Shared]
    ) -> list[Doubles]:
        """What each part of the ways computes; plain projections with the same matrix in one product."""
        outputs: list[Doubles] = []
        together: dict[int, list[int]] = {}
        for number, part in enumerate(parts):
            definition = self._ways[part[0]].at(layer, name)
            stage = definition.stages[name]
            if type(definition) is Definition and stage.kind == "projection":
                place = Place(layer, np.full(len(part), self._position), rows)
                outputs.append(definition.operand(stage, place, made[stage.inputs[0]].having(part)))
                together.setdefault(id(definition.matrix(stage, layer)), []).append(number)
            else:
                outputs.append(self._compute(name, layer, rows, part, made))
        for numbers in together.values():
            definition = self._ways[parts[numbers[0]][0]].at(layer, name)
            matrix = definition.matrix(definition.stages[name], layer)
            products = product(matrix, np.concatenate([outputs[n] for n in numbers]))
            ends = np.cumsum([len(parts[n]) for n in numbers])[:-1]
            for n, values in zip(numbers, np.split(products, ends), strict=True):
                kept = self._ways[parts[n][0]].at(layer, name).arithmetic.stages
                outputs[n] = ops.round_to(values, kept)
        return outputs

    def _compute(
        self, name: str, layer: int, rows: int, ways: Indices, made: Mapping[str, Shared]
    ) -> Doubles:
        """A stage of some ways that compute it alike, (len(ways), elements)."""
        definition = self._ways[ways[0]].at(layer, name)
        try:
            return self._evaluate(definition, name, layer, rows, ways, made)
        except (ValueError, IndexError):  # a mistake that does not fit this model's shapes
            sound = self._evaluate(self._ways[ways[0]].definition, name, layer, rows, ways, made)
            return np.full_like(sound, np.nan)

    def _evaluate(
        self,
        definition: Definition,
        name: str,
        layer: int,
        rows: int,
        ways: Indices,
        made: Mapping[str, Shared],
    ) -> Doubles:
        stage = definition.stages[name]
        place = Place(layer, np.full(len(ways), self._position), rows)
        if stage.kind not in ("softmax", "context"):
            inputs = {need: made[need].having(ways) for need in stage.inputs}
            out: Doubles = definition.compute(name, place, inputs)
            return out
        first, cache = stage.inputs
        kept = np.stack([row.having(ways) for row in self._caches[layer][cache]], axis=1)
        if self._position == 0 and type(definition) is Definition:
            return _alone(definition, stage, kept[:, 0])
        one = Place(layer, place.positions[:1], rows)
        each = zip(made[first].having(ways), kept, strict=True)
        outputs = [definition.compute(name, one, {first: x[np.newaxis], cache: c}) for x, c in each]
        return np.concatenate(outputs)

    def _kinds_at(self, layer: int, name: str, rows: int) -> Indices:
        """A number for each way: those with the same one compute this stage alike."""
        layer = layer if any((layer, name) in way.changed for way in self._changing) else -1
        if (layer, name, rows) not in self._kinds:
            numbers: dict[Any, int] = {}
            found = (
                _key(definition, definition.stages[name], rows)
                for definition in (way.at(layer, name) for way in self._ways)
            )
            kinds = np.array([numbers.setdefault(key, len(numbers)) for key in found])
            self._kinds[layer, name, rows] = kinds
        return self._kinds[layer, name, rows]


def _alone(definition: Definition, stage: GraphStage, values: Doubles) -> Doubles:
    """Attention at position 0, which sees itself only: the softmax row is 1, the context is V."""
    if stage.kind == "softmax":
        return np.ones((len(values), definition.hyper.n_head, 1))
    heads = definition.cached_heads(values)
    return ops.round_to(heads.reshape(len(heads), -1), definition.arithmetic.stages)


def _key(definition: Definition, stage: GraphStage, rows: int) -> Any:
    """What decides a stage's output besides its inputs: equal keys compute alike."""
    if type(definition) is not Definition:
        return id(definition)
    a, hyper = definition.arithmetic, definition.hyper
    common = (id(hyper), a.stages)
    match stage.kind:
        case "rows":
            return *common, a.embeddings
        case "projection":
            inputs = a.input_type("F16", rows), a.input_type("BF16", rows)
            codes = a.activations, a.largest, a.rounding, a.fused_quantiser
            own = (a.head,) if stage.weight == "head" else codes
            return *common, *inputs, a.quantises_for_blocks, *own
        case "rotation":
            return *common, a.rope_by_recurrence
        case "softmax":
            return *common, a.kv, a.q_type(rows, hyper.n_head)
        case "context":
            return *common, a.kv, a.probs_type(rows)
        case "product":
            return *common, a.gelu
    return common


def residuals(
    ways: Sequence[Way],
    observed: Observed,
    positions: int | None = None,
    layers: Sequence[int] | None = None,
) -> Doubles:
    """Relative L2 of what was observed from what each way gives, (ways, positions).

    positions  how many of the first to compute; None is all
    layers     as in the decoder
    """
    lockstep = Lockstep(ways, layers)
    columns = sample_columns(ways[0].definition.hyper.n_vocab)
    out = []
    for token, actual in list(zip(observed.tokens, observed.logits, strict=True))[:positions]:
        with np.errstate(all="ignore"):  # mistakes that are tried may overflow
            expected = lockstep.forward(token, observed.rows)
        sampled = expected.rows if expected.rows.shape[1] == len(columns) else expected.rows[:, columns]
        out.append(relative_l2(sampled, actual)[expected.of])
    return np.stack(out, axis=1)


def relative_l2(expected: Doubles, actual: Floats | Doubles) -> Doubles:
    """|actual - expected| / |expected| of every row; not finite where one of them is not."""
    distance = np.linalg.norm(actual.astype(np.float64) - expected, axis=-1)
    relative: Doubles = distance / (np.linalg.norm(expected, axis=-1) + _EPSILON)
    return relative


def of_arithmetics(definition: Definition, arithmetics: Sequence[Arithmetic]) -> list[Way]:
    """The ways of one model in several arithmetics."""
    return [Way(Definition(definition.hyper, definition.weights, a)) for a in arithmetics]
