"""The nodes to tap in a reference's graph, by the tables of the architectures."""

from __future__ import annotations

from bitparity.architectures import ARCHITECTURES
from bitparity.architectures.ggml_nodes import Node, NodeTable
from bitparity.stages import StageFilter


def graphs_of(reference: str) -> dict[str, NodeTable]:
    """The architectures that a reference runs, and the nodes of their graphs there."""
    return {a.name: a.nodes[reference] for a in ARCHITECTURES.values() if reference in a.nodes}


def wanted_nodes(table: NodeTable, stages: StageFilter, n_layer: int) -> list[tuple[int, str, str, Node]]:
    """(layer, stage, full name of the node, node) of every stage that the filter and the graph have."""
    return [
        (layer, stage, name, node)
        for layer, stage in stages.pairs(n_layer)
        if (node := table.get(stage)) is not None
        for name in node.names(layer)
    ]


def norm_nodes(arch: str, table: NodeTable, n_layer: int) -> list[tuple[str, str]]:
    """Full name and op of every node that is the output of a norm."""
    norms = ",".join(f"*:{stage.name}" for stage in ARCHITECTURES[arch].stages if stage.kind == "norm")
    return [(name, node.op) for _, _, name, node in wanted_nodes(table, StageFilter.parse(norms), n_layer)]
