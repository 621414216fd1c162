"""The stage vocabulary: names, order in the graph, and the `layer:stage` filter.

A stage is a named point in the graph; layer is -1 outside the blocks.  Shapes below are those of a recorded
value: n positions, then the stage's own axes, always float32.  The file of an architecture
(architectures/) says which stages it has and how they are computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bitparity.errors import BadInput


@dataclass(frozen=True)
class Stage:
    """name, meaning, axes after the position axis, and whether the stage lies inside a block."""

    name: str
    meaning: str
    axes: tuple[str, ...]
    in_block: bool = True


POSITIONS_SO_FAR = "positions so far"  # an axis that grows with the sequence

STAGES: tuple[Stage, ...] = (
    Stage("embeddings", "token embedding rows", ("n_embd",), in_block=False),
    Stage("attn_norm", "RMSNorm x weight before attention", ("n_embd",)),
    Stage("q_in_norm", "RMSNorm x weight of what the query projection takes", ("n_embd",)),
    Stage("q_proj", "query projection before RoPE", ("n_head * head_dim",)),
    Stage("k_in_norm", "RMSNorm x weight of what the key projection takes", ("n_embd",)),
    Stage("k_proj", "key projection before RoPE", ("n_head_kv * head_dim",)),
    Stage("v_in_norm", "RMSNorm x weight of what the value projection takes", ("n_embd",)),
    Stage("v_proj", "value projection", ("n_head_kv * head_dim",)),
    Stage("q_norm", "RMSNorm x weight of every query head before RoPE", ("n_head * head_dim",)),
    Stage("k_norm", "RMSNorm x weight of every key head before RoPE", ("n_head_kv * head_dim",)),
    Stage("q_rope", "queries after RoPE", ("n_head * head_dim",)),
    Stage("k_rope", "keys after RoPE", ("n_head_kv * head_dim",)),
    Stage("attn_probs", "softmax rows, zero for later positions", ("n_head", POSITIONS_SO_FAR)),
    Stage("attn_ctx", "probs x V, heads merged", ("n_head * head_dim",)),
    Stage("attn_sub_norm", "RMSNorm x weight after attention", ("n_head * head_dim",)),
    Stage("attn_out", "output projection", ("n_embd",)),
    Stage("attn_post_norm", "RMSNorm x weight after the output projection", ("n_embd",)),
    Stage("attn_residual", "residual sum", ("n_embd",)),
    Stage("ffn_norm", "RMSNorm x weight before the feed-forward", ("n_embd",)),
    Stage("ffn_gate_in_norm", "RMSNorm x weight of what the gate projection takes", ("n_embd",)),
    Stage("ffn_gate", "gate projection", ("n_ff",)),
    Stage("ffn_up_in_norm", "RMSNorm x weight of what the up projection takes", ("n_embd",)),
    Stage("ffn_up", "up projection", ("n_ff",)),
    Stage("ffn_act", "act(gate) x up", ("n_ff",)),
    Stage("ffn_sub_norm", "RMSNorm x weight before the down projection", ("n_ff",)),
    Stage("ffn_out", "down projection", ("n_embd",)),
    Stage("ffn_post_norm", "RMSNorm x weight after the down projection", ("n_embd",)),
    Stage("layer_out", "residual sum", ("n_embd",)),
    Stage("final_norm", "RMSNorm x weight after the last block", ("n_embd",), in_block=False),
    Stage("pooled", "direction of final_norm: the embedding of the text so far", ("n_embd",), in_block=False),
    Stage("logits", "head projection", ("n_vocab",), in_block=False),
)
STAGE_NAMES: tuple[str, ...] = tuple(s.name for s in STAGES)
_BY_NAME = {s.name: s for s in STAGES}
_RANK = {name: rank for rank, name in enumerate(STAGE_NAMES)}
_LAYERS = re.compile(r"(?P<only>-1|\d+)$|(?P<first>\d+)-(?P<last>\d+)$|\*$")


def stage_named(name: str) -> Stage:
    """The row of a stage that is known to exist."""
    return _BY_NAME[name]


def graph_order(layer: int, stage: str) -> tuple[int, int, int]:
    """Sort key: embeddings, then the blocks layer by layer, then final_norm and logits."""
    if stage_named(stage).in_block:
        return 1, layer, _RANK[stage]
    return (0 if stage == "embeddings" else 2), layer, _RANK[stage]


@dataclass(frozen=True)
class _Clause:
    layers: range | None  # None is every layer
    pattern: str

    def matches(self, layer: int, stage: str) -> bool:
        return (self.layers is None or layer in self.layers) and fnmatchcase(stage, self.pattern)


@dataclass(frozen=True)
class StageFilter:
    """Which (layer, stage) pairs to record.

    Written as clauses `layer:stage` with commas between: `3:ffn_act`, `0-3:attn_*`, `-1:logits`, `*:*_norm`.
    A clause without a colon is a stage in every layer.
    """

    text: str
    clauses: tuple[_Clause, ...]

    @classmethod
    def parse(cls, text: str = "*:*", n_layer: int | None = None) -> StageFilter:
        """Every clause of the text must have something to match.

        n_layer  blocks of the model, where it is known
        Raises BadInput for a layer that is no number, range or `*` or not in the model, and for an unknown
        stage or one that is not in those layers.
        """
        clauses = tuple(_parse_clause(part.strip(), n_layer) for part in text.split(",") if part.strip())
        if not clauses:
            raise BadInput(f"trace filter {text!r} is empty; write for example '0-3:attn_*,-1:logits'")
        return cls(text, clauses)

    def matches(self, layer: int, stage: str) -> bool:
        return any(clause.matches(layer, stage) for clause in self.clauses)

    def pairs(self, n_layer: int) -> list[tuple[int, str]]:
        """All (layer, stage) pairs of a model with n_layer blocks that match, in graph order."""
        every = [(layer, s.name) for s in STAGES for layer in (range(n_layer) if s.in_block else (-1,))]
        return sorted((p for p in every if self.matches(*p)), key=lambda p: graph_order(*p))


def _parse_clause(text: str, n_layer: int | None) -> _Clause:
    words, _, pattern = text.rpartition(":")
    layers = _parse_layers(text, words or "*")
    stages = [stage for stage in STAGES if fnmatchcase(stage.name, pattern)]
    if not stages:
        raise BadInput(
            f"trace filter {text!r}: no stage is named {pattern!r}; there are {', '.join(STAGE_NAMES)}"
        )
    if layers is None:
        return _Clause(None, pattern)
    in_block = layers.start >= 0
    if all(stage.in_block != in_block for stage in stages):
        others = f"-1:{pattern}" if in_block else f"a layer from 0 or *:{pattern}"
        where = "outside the blocks" if in_block else "inside the blocks"
        raise BadInput(f"trace filter {text!r} matches nothing: {pattern} is {where}; write {others}")
    if n_layer is not None and layers.stop > n_layer:
        raise BadInput(
            f"trace filter {text!r}: there is no layer {layers.stop - 1}; "
            f"the model has the layers 0 to {n_layer - 1}"
        )
    return _Clause(layers, pattern)


def _parse_layers(text: str, layers: str) -> range | None:
    match = _LAYERS.match(layers)
    if not match:
        raise BadInput(f"trace filter {text!r}: layer {layers!r} is no number, range (0-3) or '*'")
    if match["only"] is not None:
        return range(int(match["only"]), int(match["only"]) + 1)
    if match["first"] is None:
        return None
    first, last = int(match["first"]), int(match["last"])
    if last < first:
        raise BadInput(f"trace filter {text!r}: the range {layers} is empty; write {last}-{first}")
    return range(first, last + 1)
