"""Write the architectures as a C++ table: `python architectures.py OUTPUT.cpp`.

The build runs it with PYTHONPATH=harness and no package but Python itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from bitparity.architectures import ARCHITECTURES
from bitparity.architectures.gguf_keys import ACTIVATION_KEYS, ACTIVATIONS
from bitparity.architectures.graph import Architecture, BlockWeight, GraphStage, HyperKey
from bitparity.architectures.llama import LLAMA
from bitparity.stages import stage_named


class Expression(str):
    """A hyperparameter in C++; what a default computes from it is C++ again."""

    def __floordiv__(self, other: str) -> Expression:
        return Expression(f"{self} / {other}")


class Read:
    """Stands for the hyperparameters that were read before."""

    def __getitem__(self, field: str) -> Expression:
        return Expression(f"s.{field}")


def table() -> str:
    rows = "\n".join(architecture_row(a) for a in ARCHITECTURES.values())
    return f"""// Made by native/generate/architectures.py from harness/bitparity/architectures.
#include "library/architectures.hpp"

namespace bitnet::library {{

std::span<const Architecture> architectures() {{
    static const std::vector<Architecture> table{{
{rows}
    }};
    return table;
}}

std::span<const std::string_view> activation_keys() {{
    static constexpr std::string_view keys[] = {braced(map(quoted, ACTIVATION_KEYS))};
    return keys;
}}

std::span<const ActivationName> activation_names() {{
    static constexpr ActivationName names[] = {braced(map(activation_row, ACTIVATIONS.items()))};
    return names;
}}

}}  // namespace bitnet::library
"""


def architecture_row(architecture: Architecture) -> str:
    bare = architecture.without(architecture.inner_norms).stages
    return f"""        {{
            .name = "{architecture.name}",
            .gguf_name = "{architecture.gguf_name}",
            .rope_pairs = RopePairs::{architecture.rope_pairs},
            .activation = Activation::{architecture.activation},
            .scales_embeddings = {truth(architecture.scales_embeddings)},
            .divides_queries = {truth(architecture.divides_queries)},
            .is_llama_with_norms = {truth(bare == LLAMA.without(LLAMA.inner_norms).stages)},
            .only_bitnet_cpp = {truth(set(architecture.nodes) == {"bitnet.cpp"})},
            .stages = {braced(map(stage_row, architecture.stages))},
            .weights = {braced(map(weight_row, architecture.weights))},
            .keys = {braced(map(key_row, architecture.keys))},
            .inner_norms = {braced(norm_row(architecture, norm) for norm in architecture.inner_norms)},
        }},"""


def stage_row(stage: GraphStage) -> str:
    return f'{{"{stage.name}", {truth(stage_named(stage.name).in_block)}}}'


def weight_row(weight: BlockWeight) -> str:
    return f'{{"{weight.role}", "{weight.tensor}", {{{", ".join(map(axis, weight.axes))}}}}}'


def axis(text: str) -> str:
    """`text` is a product of hyperparameters: "n_head * head_dim"."""
    product = " * ".join(f"std::int64_t(s.{name})" for name in text.split(" * "))
    return f"[](const Shape& s) {{ return {product}; }}"


def key_row(key: HyperKey) -> str:
    member = f"&Shape::{key.field}"
    integer, real = (member, "nullptr") if key.number is int else ("nullptr", member)
    return f'{{"{key.key}", {integer}, {real}, {default(key)}}}'


def default(key: HyperKey) -> str:
    if key.default is None:
        return "nullptr"
    value = key.default(Read())  # type: ignore[arg-type]
    return f"[]([[maybe_unused]] const Shape& s) {{ return double({value}); }}"


def quoted(name: str) -> str:
    return f'"{name}"'


def activation_row(row: tuple[str, str]) -> str:
    return f'{{"{row[0]}", Activation::{row[1]}}}'


def norm_row(architecture: Architecture, norm: GraphStage) -> str:
    return f'{{"{norm.name}", "{architecture.reader_of(norm)}", "{norm.weight}"}}'


def braced(rows: Iterable[str]) -> str:
    return "{" + "".join(f"\n                {row}," for row in rows) + "}"


def truth(value: bool) -> str:
    return "true" if value else "false"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
