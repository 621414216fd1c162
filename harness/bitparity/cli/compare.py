"""`bitparity compare`: run two engines on the same tokens and compare every position.

What can be typed is here, comparing.py does it: the reference starts before that is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bitparity.cli.engine import arithmetic_option, kernels_option, start_engine
from bitparity.cli.output import OutputFile
from bitparity.cli.repeat import command_line
from bitparity.registry import resolve_reference
from bitparity.settings import read_settings

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("compare")
@click.argument("model", required=False)
@click.option(
    "--reference", default="auto", show_default=True, help="Engine to trust, or a recording (.npz)."
)
@click.option("--candidate", default="native", show_default=True, help="Engine under test, or a recording.")
@kernels_option("the candidate")
@arithmetic_option("the candidate", "the reference's")
@click.option(
    "--reference-model", type=_FILE, help="Another file for the reference, say a twin in its format."
)
@click.option("--candidate-model", type=_FILE, help="Another file for the candidate alone.")
@click.option("--prompt", "texts", multiple=True, help="Text to compare on; may be given several times.")
@click.option("--prompts", "prompt_file", type=_FILE, help="File with a text a line, or JSON lines (.jsonl).")
@click.option("--tokens", help="Token ids, 1,2,3, or a file of them; tokenizers are not used.")
@click.option("--tokenizer", type=_FILE, help="tokenizer.json that tokenizes for both engines.")
@click.option(
    "--steps",
    type=click.IntRange(0),
    default=0,
    help="Positions to continue greedily, on the reference's tokens.",
)
@click.option("--chunks", default="prefill", show_default=True, help="prefill, decode, mixed, or a size.")
@click.option("--context", type=click.IntRange(1), help="Positions to make room for.")
@click.option("--threads", type=click.IntRange(1), help="Threads of each engine.")
@click.option("--device-id", type=int, help="Device of each engine.")
@click.option(
    "--limit",
    type=click.FloatRange(0),
    help="Judge by this fixed limit on 1 - cosine, not by measured noise.",
)
@click.option("--blame", is_flag=True, help="Judge every stage of both engines.")
@click.option(
    "--trace-filter", default="*:*", show_default=True, help="layer:stage to record with BITNET_TRACE_DIR."
)
@click.option("--record", type=OutputFile(), help="Run the reference alone and keep its logits in this file.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the result here.")
@click.option("--html", "html_file", type=OutputFile(), help="Write a page with a chart here.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Run two engines on the same tokens and compare every position.

    MODEL is a GGUF file, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    A file of prompts has one text a line; a .jsonl file has a string, a list of token ids, or an object
    with "text" or "tokens" a line.

    Exits with 0 when the engines agree or differ by noise, 1 when they diverged, 3 when they tokenize
    differently, 4 when nothing could be compared, and 5 when an engine failed.
    """
    settings = read_settings()
    name = resolve_reference(given["reference"], bitnet_cpp_is_set=settings.bitnet_cpp_dir is not None)
    reference = start_engine(name, _named_file(given["reference_model"] or given["model"]))
    from bitparity.cli.comparing import Options, record_reference, run_comparison

    options = Options(**given)
    if options.record is not None:
        record_reference(options.record, options, reference, settings)
    else:
        sys.exit(run_comparison(options, reference, settings, command_line(ctx)))


def _named_file(model: Path | str | None) -> Path | None:
    return Path(model) if model and Path(model).is_file() else None
