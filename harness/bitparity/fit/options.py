"""The arithmetics that a model can tell apart: an axis that touches none of its weights has one option."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

from bitparity.formats import FLOATS
from bitparity.model.types import Model
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import AS_STORED, AXES, BY_FORMAT, IN_ONE_ROW, PLAIN, Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.weights import Dense, Ternary, quantiser_of

# Axes at which the output of a stage is rounded once more, and the types that keep it as it is.  A BF16
# number has 8 significant bits and is an F16 number from 2^-17 to 65504.  Smaller ones move by 2^-25 at most
# in F16, which is less than what the order of float32 sums leaves of values near 1.
_OF_STAGES = ("kv", "q", "probs", "f16_inputs", "bf16_inputs")
_KEEPS = {"f16": ("f16",), "bf16": ("bf16", "f16")}
ROWS = 256  # of the embedding that show whether a type changes it


class Options:
    """What can be told apart in one model."""

    def __init__(self, model: Model, definition: Definition) -> None:
        self._hyper, weights = model.hyper, definition.weights
        self._head, self._embedding = weights.head, weights.embedding
        projections = {s.weight for s in model.hyper.architecture.block if s.kind == "projection"}
        matrices = [weights.matrix(0, role) for role in projections]
        self._ternary = next((m for m in matrices if isinstance(m, Ternary)), None)
        self._formats = {m.format for m in (*matrices, self._head) if isinstance(m, Dense)}
        self._widths = {m.codes.shape[1] for m in matrices if isinstance(m, Ternary)}

        self._options = {
            axis.name: tuple(option for option in axis.options if self._exists(axis.name, option))
            for axis in AXES
        }

    def of(self, axis: str) -> tuple[str, ...]:
        """The options of an axis that this model can have, first what `plain` does."""
        return self._options[axis]

    def around(self, base: Arithmetic, axes: Sequence[str], changes: int) -> Iterator[Arithmetic]:
        """What differs from one arithmetic in so many of these axes; equal ones come once.

        Of options that are the same in a batch of one row the first stands for all; so does rounding half to
        even for half away from zero, from which no value but an exact tie tells it.
        """
        for changed in combinations(axes, changes):
            others = [
                [
                    o
                    for o in self.of(axis)
                    if o != base.option(axis) and not o.endswith("away") and IN_ONE_ROW not in o
                ]
                for axis in changed
            ]
            for options in product(*others):
                arithmetic = base.having(**dict(zip(changed, options, strict=True)))
                if self.canonical(arithmetic) == arithmetic:
                    yield arithmetic

    def _exists(self, axis: str, option: str) -> bool:
        hyper = self._hyper
        match axis:
            case "kv" | "q":
                return option != "q8_0" or hyper.head_dim % ops.Q8_0_BLOCK == 0
            case "f16_inputs" | "bf16_inputs":
                return option == "f32" or axis.split("_")[0].upper() in self._formats
            case "block_inputs":
                return option == BY_FORMAT or bool(self._formats.difference(FLOATS))
            case "gelu":
                return option == "f32" or hyper.activation == "gelu"
            case "activations":
                return option == BY_FORMAT or (self._ternary is not None and self._can_share(option))
            case "largest" | "rounding":
                return option in ("127", "even") or self._ternary is not None
            case "head":
                fits = "q8_0" not in option or hyper.n_embd % ops.Q8_0_BLOCK == 0
                return option == AS_STORED or (isinstance(self._head, Dense) and fits)
            case "embeddings":
                return option == AS_STORED or self._changes_embeddings(option)
        return True

    def _can_share(self, option: str) -> bool:
        assert self._ternary is not None
        if quantiser_of(self._ternary, Arithmetic()) == quantiser_of(
            self._ternary, Arithmetic(activations=option)
        ):
            return False  # what the format has anyway
        block = option.removeprefix("block ")
        return not block.isdigit() or all(width % int(block) == 0 for width in self._widths)

    def _changes_embeddings(self, option: str) -> bool:
        matrix = self._embedding
        if not isinstance(matrix, Dense) or (option == "q8_0" and self._hyper.n_embd % ops.Q8_0_BLOCK):
            return False
        some = matrix.select(list(range(0, matrix.rows, max(1, matrix.rows // ROWS))))
        return bool((ops.round_to(some, option) != some).any())

    def canonical(self, arithmetic: Arithmetic) -> Arithmetic:
        """The same function by its shortest name: what has no effect in this model is as in `plain`.

        What the oracle does not follow, the order of sums, is left out.
        """
        a = arithmetic
        changes = {
            axis.name: axis.options[0]
            for axis in AXES
            if a.option(axis.name) not in self.of(axis.name) or self._is_idle(a, axis.name)
        }
        plain = PLAIN.having(**{axis.name: a.option(axis.name) for axis in AXES})
        if self._hyper.n_head == 1 and a.one_head_q:
            plain = plain.having(q=a.one_head_q)
        return plain.having(**changes)

    def _is_idle(self, a: Arithmetic, axis: str) -> bool:
        if axis in ("largest", "rounding"):
            return a.activations == "none"
        if axis in ("f16_inputs", "bf16_inputs") and a.rounds_head_input and self._ternary is not None:
            return True  # such a head rounds its input itself
        if axis == "block_inputs":
            return a.activations == "none"
        kept = a.option(axis).removesuffix(IN_ONE_ROW)  # that of values which a stage gave, and so rounded
        if axis == "embeddings":
            return kept == a.stages and not self._hyper.architecture.scales_embeddings
        if axis == "q" and self._hyper.architecture.divides_queries:
            return False
        return axis in _OF_STAGES and kept in _KEEPS.get(a.stages, ())
