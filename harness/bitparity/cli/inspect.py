"""`bitparity inspect`: what is in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from bitparity.cli.kernel_config import kernel_config_option
from bitparity.cli.model_file import model_file
from bitparity.cli.output import OutputFile
from bitparity.formats.table_lookup import Tilings
from bitparity.model import open_model
from bitparity.model.checks import Finding, check_model
from bitparity.model.gguf_shards import files_of
from bitparity.model.layout_evidence import judge, layout_evidence
from bitparity.model.types import Model
from bitparity.model.weights import check_mapping, describe_mapping
from bitparity.output import write_json
from bitparity.settings import read_settings

_SHOWN_ITEMS = 5  # of a metadata array


@click.command("inspect")
@click.argument("model_name", metavar="[MODEL]", required=False)
@click.option("--show-kv", is_flag=True, help="Print all metadata.")
@click.option(
    "--layout", "layout_of", metavar="TENSOR", help="Which layout this I2_S tensor has, by evidence."
)
@click.option("--like", help="Another file of the same weights, for --layout.")
@click.option("--json", "json_file", type=OutputFile(), help="Write it all here as JSON.")
@kernel_config_option
def command(
    model_name: str | None,
    show_kv: bool,
    layout_of: str | None,
    like: str | None,
    json_file: Path | None,
    tilings: Tilings | None,
) -> None:
    """Print a model's metadata, tensors, formats, weight mapping, and what the checks of the file find.

    MODEL is a GGUF file, a checkpoint's folder, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    With BITNET_DEBUG_LOGITS=1 the values are looked at through the mapping, too.
    """
    model = open_model(model_file(model_name), tilings=tilings)
    if layout_of is not None:
        other = open_model(model_file(like), tilings=tilings) if like else None
        click.echo("\n".join(_layout_lines(model, layout_of, other)))
        return
    mapping = describe_mapping(model)
    if read_settings().debug_logits:
        mapping += check_mapping(model)
    findings = check_model(model)
    if json_file is not None:
        write_json(json_file, _as_json(model, mapping, findings))
    click.echo("\n".join(_lines(model, mapping, show_kv, findings)))


def _layout_lines(model: Model, name: str, other: Model | None) -> list[str]:
    evidence = layout_evidence(model, name, other)
    found = judge(evidence)
    lines = [f"{name}: {found.layout or 'layout unknown'} ({found.sureness}): {found.reason}"]
    for e in evidence:
        norm = "" if e.norm_agreement is None else f", {e.norm_agreement:+.1f} sigma with the norms"
        codes = "" if e.other_agreement is None else f", {e.other_agreement:.2%} of the other file's codes"
        lines.append(f"  {e.layout:8}  {e.codes_3:.1%} impossible codes{norm}{codes}")
    return lines


def _lines(model: Model, mapping: list[str], show_kv: bool, findings: list[Finding]) -> list[str]:
    hyper = model.hyper
    counts = ", ".join(f"{count} {name}" for name, count in model.format_counts().items())
    packed = sum(tensor.data.size for tensor in model.tensors.values())
    size = sum(file.stat().st_size for file in files_of(model.path))
    lines = [
        f"{model.path}: {hyper.arch}, {hyper.n_layer} layers, {size:,} bytes",
        f"width {hyper.n_embd}, feed-forward {hyper.n_ff}, {hyper.n_head} heads of {hyper.head_dim}, "
        f"{hyper.n_head_kv} KV heads, {hyper.n_vocab:,} tokens, context {hyper.context_length:,}",
        f"tensors: {len(model.tensors)} ({counts}), {packed:,} bytes",
        *model.notes,
        *mapping,
        *(f"{finding.severity.value}: {finding.sentence}" for finding in findings),
    ]
    if show_kv:
        lines += ["", *(f"{key} = {_shown(value)}" for key, value in model.metadata.items())]
    width = max(map(len, model.tensors))
    lines += ["", f"{'tensor':{width}}  {'format':6}  {'bytes':>13}  shape"]
    for tensor in model.tensors.values():
        shape = " x ".join(map(str, tensor.shape))
        lines.append(f"{tensor.name:{width}}  {tensor.format:6}  {tensor.data.size:13,}  {shape}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float | bool):
        return repr(value)
    first = ", ".join(repr(_plain(value[i])) for i in range(min(len(value), _SHOWN_ITEMS)))
    return f"[{first}{', ...' if len(value) > _SHOWN_ITEMS else ''}] ({len(value):,} items)"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool) else [_plain(item) for item in value]


def _as_json(model: Model, mapping: list[str], findings: list[Finding]) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "notes": list(model.notes),
        "hyperparameters": model.hyper.as_dict(),
        "formats": model.format_counts(),
        "tied_head": model.weights.head_is_tied,
        "embedding_is_transposed": model.weights.embedding_is_transposed,
        "mapping": mapping,
        "findings": [finding.as_dict() for finding in findings],
        "metadata": {key: _plain(value) for key, value in model.metadata.items()},
        "tensors": [
            {
                "name": t.name,
                "shape": list(t.shape),
                "format": t.format,
                "bytes": t.data.size,
                "offset": t.offset,
            }
            for t in model.tensors.values()
        ],
    }
