"""The catalogue: what is planted, and where blame has to find it.

A fault is planted by altering the model that one side gets, or, where no model can express it, by a switch in
the engine (native's `Faults`) or by another definition in the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bitparity.faults import models
from bitparity.faults.models import Alter
from bitparity.oracle import variations
from bitparity.oracle.definition import Definition

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


CATALOGUE: tuple[Fault, ...] = (
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
        definition=lambda d: variations.HeadsShifted.like(d, 1),
    ),
    Fault(
        "stale KV row",
        0,
        "attn_probs",
        f"row of position {STALE_ROW} is zero",
        STALE_ROW,
        switches={"stale_kv_row": STALE_ROW},
        definition=lambda d: variations.StaleRow.like(d, (STALE_ROW, -1)),
    ),
    Fault(
        "shifted position",
        0,
        "q_rope",
        "position p as p +1",
        switches={"position_shift": 1},
        definition=lambda d: variations.ShiftedPositions.like(d, 1),
    ),
    Fault(
        "int8 rounding mode",
        0,
        "q_proj",
        "towards zero",
        switches={"truncate_codes": True},
        definition=lambda d: variations.with_arithmetic(d, rounding="zero"),
    ),
)
