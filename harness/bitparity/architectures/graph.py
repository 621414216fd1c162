"""What an architecture consists of: stages, the weights of a block, and the keys of its hyperparameters.

An architecture is data.  The oracle evaluates the list of stages in float64, native computes the same list,
and blame, recording and the mapping to a reference's graph read it.

| kind | output | inputs | weight |
|---|---|---|---|
| rows | a row of the matrix for every token | token ids | matrix |
| norm | RMSNorm x weight; a weight shorter than the input norms every part of its length alone | x | vector |
| projection | matrix x input, with the input rounding of the weight format | x | matrix |
| rotation | RoPE of every head | x | |
| softmax | causal softmax of q.k / sqrt(head_dim) | queries, keys | |
| context | mean of the values, weighted by the softmax row; heads merged | softmax rows, values | |
| product | activation(gate) x up | gate, up | |
| sum | branch + residual stream | branch, stream | |
| direction | x divided by its Euclidean length | x | |

An input is an earlier stage of the same block or one of these:

    tokens        token ids
    block_input   embeddings, or the last stage of the block before
    keys, values  of positions 0 .. last, as the KV cache holds them: CACHES says which stages fill it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Literal, Self

from bitparity.architectures.ggml_nodes import NodeTable
from bitparity.stages import stage_named

Kind = Literal["rows", "norm", "projection", "rotation", "softmax", "context", "product", "sum", "direction"]
Activation = Literal["silu", "relu2", "gelu"]
CACHES = {"keys": "k_rope", "values": "v_proj"}
LAST_OF_ATTENTION = "attn_out"  # in the stages after it no row depends on another row


@dataclass(frozen=True)
class GraphStage:
    """A stage of one architecture.

    inputs  in the order in which its kind takes them
    weight  a role of the block's weights, or token_embd, output_norm and head outside the blocks
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    weight: str = ""


@dataclass(frozen=True)
class BlockWeight:
    """A weight that every block has.

    role    the part that it plays
    tensor  in a GGUF file: `blk.<layer>.<tensor>.weight`
    axes    of its shape, outermost first, as in stages.py; one axis is a vector, two are a matrix
    """

    role: str
    tensor: str
    axes: tuple[str, ...]

    def name(self, layer: int) -> str:
        """The tensor's name in a GGUF file."""
        return f"blk.{layer}.{self.tensor}.weight"


@dataclass(frozen=True)
class HyperKey:
    """Where a hyperparameter is read from: `<architecture>.<key>` of the metadata.

    field    of HyperParameters
    number   int for a positive whole number, float for a positive number
    default  of a file without the key, from those that were read before; None when the key is needed
    """

    field: str
    key: str
    number: type[int] | type[float] = int
    default: Callable[[Mapping[str, Any]], float] | None = None


def axis_size(sizes: object, axis: str) -> int:
    """Elements of an axis that is written as a product of attributes: "n_head * head_dim"."""
    return prod(getattr(sizes, name) for name in axis.split(" * "))


@dataclass(frozen=True)
class Architecture:
    """Everything that the name of an architecture decides.

    rope_pairs  dimensions that RoPE rotates together: (i, i + rope_dim / 2) or (2i, 2i + 1)
    stages      all of them, in the order in which they are computed
    weights     of a block, in the order of the stages that read them; new files have them in this order
    keys        of the hyperparameters, each after those that its default is made from
    nodes       by the name of each reference that runs it: which node of its graph is which stage
    shares_name_with   the architecture whose name its files bear, if it is not its own
    scales_embeddings  embeddings are rows of the matrix x sqrt(n_embd)
    has_no_own_head    references multiply by the embedding, whatever head a file has
    divides_queries    by sqrt(HyperParameters.query_width), before the product with the keys and not after it
    """

    name: str
    rope_pairs: Literal["neox", "norm"]
    activation: Activation
    stages: tuple[GraphStage, ...]
    weights: tuple[BlockWeight, ...]
    keys: tuple[HyperKey, ...]
    nodes: Mapping[str, NodeTable]
    shares_name_with: str = ""
    scales_embeddings: bool = False
    has_no_own_head: bool = False
    divides_queries: bool = False

    @property
    def gguf_name(self) -> str:
        """`general.architecture` of its files."""
        return self.shares_name_with or self.name

    @cached_property
    def by_name(self) -> dict[str, GraphStage]:
        """Its stages by name, in order."""
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def block(self) -> tuple[GraphStage, ...]:
        """The stages of one block."""
        return tuple(stage for stage in self.stages if stage_named(stage.name).in_block)

    @cached_property
    def inner_norms(self) -> tuple[GraphStage, ...]:
        """Norms inside a branch: they follow another stage, and do not read the residual stream."""
        stream = {"block_input", *(s.name for s in self.stages if s.kind in ("rows", "sum"))}
        return tuple(s for s in self.block if s.kind == "norm" and s.inputs[0] not in stream)

    @cached_property
    def branch_ends(self) -> tuple[str, ...]:
        """Roles of the projections whose output is added to the residual stream."""
        added = {stage.inputs[0] for stage in self.block if stage.kind == "sum"}
        return tuple(s.weight for s in self.block if s.kind == "projection" and s.name in added)

    def reader_of(self, norm: GraphStage) -> str:
        """The stage that reads an inner norm; empty when that is not one stage of the block."""
        readers = [stage.name for stage in self.block if norm.name in stage.inputs]
        return readers[0] if len(readers) == 1 else ""

    def with_pooling(self) -> Self:
        """The graph of an embedding model that pools the last token.

        The embedding of a text is the direction of its last position's final norm; so `pooled` is, at every
        position, the embedding of the text up to there.
        """
        *before, logits = self.stages
        return replace(self, stages=(*before, GraphStage("pooled", "direction", ("final_norm",)), logits))

    def without(self, norms: Iterable[GraphStage]) -> Self:
        """The same graph with some norms left out: a stage that read one of them reads the norm's input."""
        instead = {norm.name: norm.inputs[0] for norm in norms}
        weights = {norm.weight for norm in norms}
        stages = tuple(
            replace(stage, inputs=tuple(instead.get(need, need) for need in stage.inputs))
            for stage in self.stages
            if stage.name not in instead
        )
        return replace(self, stages=stages, weights=tuple(w for w in self.weights if w.role not in weights))
