"""The catalogue: what is planted, and where blame has to find it.

A fault is planted by altering the model that one side gets, or, where no model can express it, by a switch in
the engine (native's `Faults`) or by another definition in the oracle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitparity.faults import models
from bitparity.faults.models import Alter
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.mistakes import MISTAKES
from bitparity.oracle.mistakes.attention import heads_shifted, stale_row
from bitparity.oracle.mistakes.rotations import shifted_positions
from bitparity.oracle.mistakes.row import Row, arithmetic
from bitparity.oracle.ops import Doubles
from bitparity.stages import stage_named

STALE_ROW = 5  # position whose K and V rows are never written


@dataclass(frozen=True)
class Fault:
    """One deliberate fault.

    stage       first guilty stage that blame has to name, and its layer
    position    the first one where it shows; None when that depends on the activations
    says        words that blame's sentence about it has to contain
    alter       the model that the faulty side gets
    switches    of native's Faults
    definition  of the oracle, with the same fault
    """

    name: str
    layer: int
    stage: str
    says: str
    position: int | None = 0
    alter: Alter | None = None
    switches: Mapping[str, int | bool] = field(default_factory=dict)
    definition: Callable[[Definition], Definition] | None = None
    row: Row | None = None

    def applies(self, definition: Definition) -> bool:
        """Whether a model can have it."""
        return self.row is None or self.row.applies(definition, definition.stages[self.stage])

    def words(self, definition: Definition) -> str:
        """A part of what blame has to say of it in this model."""
        return self.says if self.row is None else self.row.clause(definition, definition.stages[self.stage])


_WHOLE: tuple[Fault, ...] = (
    Fault("wrong activation", 0, "ffn_act", "computes", alter=models.other_activation),
    Fault("RoPE pairing", 0, "q_rope", "rotates pairs", 1, alter=models.other_rope_pairs),
    Fault("RoPE base", 0, "q_rope", "RoPE base", 1, alter=models.other_rope_base),
    Fault("missing sub-norms", 0, "ffn_out", "leaves out ffn_sub_norm", alter=models.without_inner_norms),
    Fault("epsilon", 0, "attn_norm", "epsilon", alter=models.other_epsilon),
    Fault("transposed embedding", -1, "embeddings", "transposed", alter=models.embedding_read_transposed),
    Fault("scaled weight", 1, "ffn_up", "1.25 times", alter=models.scaled_weight(1, "up", 1.25)),
    Fault("one flipped weight", 1, "k_proj", "only element 0", None, alter=models.flipped_weight(1, "k")),
    Fault("gate and up swapped", 1, "ffn_up", "weight of ffn_gate", alter=models.gate_and_up_swapped(1)),
    Fault("norm weight left out", 1, "ffn_norm", "leaves out", alter=models.norm_weight(1, "ffn_norm", 1.0)),
    Fault(
        "NaN in a norm weight", 1, "attn_norm", "not finite", alter=models.norm_weight(1, "attn_norm", np.nan)
    ),
    Fault(
        "wrong KV head",
        0,
        "attn_ctx",  # at position 0 every softmax row is 1, so V shows it first
        "KV heads",
        switches={"kv_head_shift": 1},
        definition=heads_shifted(1),
    ),
    Fault(
        "stale KV row",
        0,
        "attn_probs",
        f"row of position {STALE_ROW} is zero",
        STALE_ROW,
        switches={"stale_kv_row": STALE_ROW},
        definition=stale_row(STALE_ROW, -1),
    ),
    Fault(
        "shifted position",
        0,
        "q_rope",
        "position p as p +1",
        switches={"position_shift": 1},
        definition=shifted_positions(1),
    ),
    Fault(
        "int8 rounding mode",
        0,
        "q_proj",
        "towards zero",
        switches={"truncate_codes": True},
        definition=lambda d: planted(arithmetic(rounding="zero")(d), d),
    ),
)

# Where a mistake of each kind is planted, unless its row says otherwise.
_USUAL = {
    "norm": "ffn_norm",
    "rotation": "q_rope",
    "softmax": "attn_probs",
    "context": "attn_ctx",
    "projection": "ffn_up",
    "product": "ffn_act",
    "sum": "layer_out",
    "rows": "embeddings",
}


class _Planted(Definition):
    """A definition with a mistake in one stage of one layer, or in all; it states the sound arithmetic."""

    mistaken: Definition
    at: tuple[int, str] | None

    def compute(self, name: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        if self.at in (None, (place.layer, name)):
            return self.mistaken.compute(name, place, inputs)
        return super().compute(name, place, inputs)


def planted(mistaken: Definition, sound: Definition, at: tuple[int, str] | None = None) -> Definition:
    """The sound definition with stages of another one: that of the layer and name `at`, or all."""
    definition = _Planted(sound.hyper, sound.weights, sound.arithmetic)
    definition.mistaken, definition.at = mistaken, at
    return definition


def _fault_of(row: Row) -> Fault:
    """The mistake of a row in one stage: of layer 1 if it is about the layer before, else of layer 0."""
    stage = row.planted_at or _USUAL[row.kind]
    layer = -1 if not stage_named(stage).in_block else int("the layer before" in row.words)
    at, name = (layer, stage), re.sub(r"\{(?:hyper\.)?(\w+)[^}]*\}", r"<\1>", f"{stage}: {row.words}")
    return Fault(name, layer, stage, "", None, definition=lambda d: planted(row.make(d), d, at), row=row)


# Ties of the int8 rounding are too rare for tokens that are not chosen for them.
_NEEDS_TIES = "half away from zero"

CATALOGUE: tuple[Fault, ...] = (
    *_WHOLE,
    *(_fault_of(row) for row in MISTAKES if _NEEDS_TIES not in row.words),
)
