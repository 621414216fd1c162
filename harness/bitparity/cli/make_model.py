"""`bitparity make-model`: a synthetic model of any shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bitparity.architectures import ARCHITECTURES
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.cli.quantize import report_written
from bitparity.formats import OF_HEADS, WRITTEN
from bitparity.model import open_model
from bitparity.model.presets import PRESETS, PUBLISHED, preset_named
from bitparity.model.synthetic import make_model
from bitparity.settings import read_settings

_FILE = click.Path(path_type=Path, dir_okay=False)


def _list_presets(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    click.echo("for tests: " + ", ".join(PRESETS))
    for name, published in PUBLISHED.items():
        spec = published.spec
        click.echo(
            f"{name}: {spec.arch}, {spec.n_layer} x {spec.n_embd}, feed-forward {spec.n_ff}, "
            f"{spec.n_head} heads ({spec.n_head_kv} KV), {spec.n_vocab:,} tokens, {spec.weight_format}; "
            f"{published.source}"
        )
    ctx.exit()


@click.command("make-model")
@click.argument("target", metavar="OUT", type=_FILE)
@click.option("--preset", default="tiny", show_default=True, help="Shape to start from; see below.")
@click.option("--arch", help=f"{', '.join(ARCHITECTURES)}.")
@click.option("--layers", "n_layer", type=int)
@click.option("--width", "n_embd", type=int)
@click.option("--heads", "n_head", type=int)
@click.option("--kv-heads", "n_head_kv", type=int)
@click.option("--ff", "n_ff", type=int, help="Feed-forward width.")
@click.option("--vocab", "n_vocab", type=int, help="Number of tokens.")
@click.option("--context", "context_length", type=int)
@click.option("--to", "weight_format", help=f"Weight format of the projections: {', '.join(WRITTEN)}.")
@click.option("--head-format", help=f"Of the embedding and the head: {', '.join(OF_HEADS)}.")
@click.option("--tied/--dedicated", default=None, help="Head: the embedding itself, or a tensor of its own.")
@click.option("--embedding-transposed", is_flag=True, default=None, help="Store the embedding as [H, V].")
@click.option("--key-length", type=int, help="Width of a head, where the heads do not share the width.")
@click.option("--rope-base", type=float)
@click.option("--rope-scaling", type=click.Choice(("none", "linear", "yarn")))
@click.option("--rope-factor", type=float, help="How many times RoPE is stretched.")
@click.option("--original-context", type=int, help="Positions beyond which YaRN stretches it.")
@click.option("--sliding-window", type=int, help="Positions that five of six blocks see (gemma3).")
@click.option("--norm-eps", type=float)
@click.option("--seed", type=int, help="Default: BITNET_SEED, else 0.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_presets,
    help="Say what presets are.",
)
@click.option("--json", "json_file", type=OutputFile(), help="Write what was done here.")
def command(target: Path, preset: str, json_file: Path | None, **given: Any) -> None:
    """Write a synthetic model of any shape.

    Presets are shapes for tests (tiny, small, llama-tiny) and published models by their names, with the
    metadata of the published file and a vocabulary of its kind and size; --list names them all and says where
    their numbers come from.  Every other option changes the preset.
    """
    spec = preset_named(preset)
    changes = {name: value for name, value in given.items() if value is not None}
    spec = replace(spec, **({"seed": read_settings().seed} | changes))
    with progress_bar(f"writing {target.name}") as progress:
        make_model(target, spec, progress)
    report_written(target, open_model(target).format_counts(), json_file)
