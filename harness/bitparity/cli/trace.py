"""`bitparity trace`: record an engine's stages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from bitparity.choose import choose_model, choose_prompts, choose_tokenizer
from bitparity.cli.engine import arithmetic_option, kernels_option, stage_map_option, time_limit_option
from bitparity.cli.model_file import open_chosen
from bitparity.cli.output import OutputFile
from bitparity.compare.chunking import Chunking
from bitparity.compare.positions import check_tokens, logits_by_position
from bitparity.compare.prompts import encode
from bitparity.engine import Session
from bitparity.engines.ways import open_engine
from bitparity.errors import BadInput, NotCompared
from bitparity.output import write_json
from bitparity.runs import choose_context, file_digest, open_session
from bitparity.settings import Settings, read_settings
from bitparity.stages import StageFilter
from bitparity.tokenizer import Tokenizer
from bitparity.trace import TraceWriter, ValueWindow, read_trace
from bitparity.trace.store import RECORDS

_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Options:
    """What was typed; names are those of the options below."""

    model: str | None
    engine: str
    kernels: str | None
    arithmetic: str | None
    text: str | None
    tokens: str | None
    tokenizer: Path | None
    steps: int
    chunks: str
    trace_filter: str
    values: bool
    values_filter: str | None
    values_positions: str | None
    out: Path | None
    run: str | None
    context: int | None
    threads: int | None
    device_id: int | None
    stage_map: Path | None
    time_limit: float


@click.command("trace")
@click.argument("model", required=False)
@click.option("--engine", default="native", show_default=True, help="Engine to record.")
@kernels_option("the engine")
@arithmetic_option("the engine", "its own")
@click.option("--prompt", "text", help="Text to run.")
@click.option("--tokens", help="Token ids to run, 1,2,3, or a file of them.")
@click.option("--tokenizer", type=_FILE, help="tokenizer.json used instead of the engine's own.")
@click.option("--steps", type=click.IntRange(0), default=0, help="Tokens to continue greedily.")
@click.option("--chunks", default="prefill", show_default=True, help="prefill, decode, mixed, or a size.")
@click.option("--trace-filter", default="*:*", show_default=True, help="Stages to record, layer:stage.")
@click.option("--values", is_flag=True, help="Keep the values of what is recorded, not only its hashes.")
@click.option("--values-filter", help="Keep the values of these stages only, layer:stage.")
@click.option("--values-positions", help="Keep the values at these positions only, 3 or 0-7.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the trace.")
@click.option("--run", help="Name of the run in that folder; the engine's unless given.")
@click.option("--context", type=click.IntRange(1), help="Positions to make room for.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.")
@click.option("--device-id", type=int, help="Device of the engine.")
@stage_map_option("the engine")
@time_limit_option
@click.option("--json", "json_file", type=OutputFile(), help="Write what was recorded here.")
def command(json_file: Path | None, **given: Any) -> None:
    """Record an engine's stages into OUT/RUN, one JSON line a record.

    MODEL is a GGUF file, a checkpoint's folder, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    The folder is --out, or BITNET_TRACE_DIR.  Nothing is overwritten: a run whose name is taken gets a
    number.
    """
    options = Options(**given)
    path = _record(options, read_settings())
    if (path / RECORDS).stat().st_size == 0:
        raise NotCompared(
            f"{options.engine} handed out no stage of {options.trace_filter}; "
            "only an engine with a tap can be traced"
        )
    trace = read_trace(path)
    found = {
        "path": str(path),
        "engine": trace.engine,
        "tokens": trace.tokens,
        "records": len(trace),
        "positions": len(trace.positions()),
        "stages": [f"{layer}:{stage}" for layer, stage in trace.stages()],
    }
    if json_file is not None:
        write_json(json_file, found)
    click.echo(
        f"{trace.engine}: {len(trace):,} records of {len(trace.stages()):,} stages "
        f"at {len(trace.positions()):,} positions in {path}"
    )


def parse_positions(text: str) -> range:
    """`3` or `0-7`; raises BadInput for anything else."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not match or (match[2] and int(match[2]) < int(match[1])):
        raise BadInput(f"positions {text!r}: write a number or a range, 3 or 0-7")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def _record(options: Options, settings: Settings) -> Path:
    folder = options.out or settings.trace_dir
    if folder is None:
        raise BadInput("there is no folder to write to: give --out, or set BITNET_TRACE_DIR")
    chunking = Chunking.parse(options.chunks)
    engine = open_engine(
        options.engine,
        time_limit=options.time_limit,
        stage_map=options.stage_map,
        kernels=options.kernels,
        arithmetic=options.arithmetic,
    )
    prompt = choose_prompts([options.text] if options.text else [], None, options.tokens, [engine])[0]
    model = open_chosen(choose_model(options.model, [engine]), settings)
    stages = StageFilter.parse(options.trace_filter, model.hyper.n_layer)
    window = _window(options, stages, model.hyper.n_layer)
    external = choose_tokenizer(options.tokenizer, model)
    with open_session(
        engine,
        model,
        context=options.context or choose_context(model, prompt.largest_length() + options.steps),
        settings=settings,
        threads=options.threads,
        device_id=options.device_id,
    ) as session:
        tokens = encode(prompt, session, external, partial(Tokenizer.from_gguf, model.metadata))
        check_tokens(tokens, session, steps=options.steps)
        _check_positions(window, len(tokens) + options.steps)
        meta = {
            "model": {"path": str(model.path), "blake3": file_digest(model.path)},
            "tokens": tokens,
            "fingerprint": session.info.fingerprint.as_dict(),
            "stages": stages.text,
        }
        with (
            TraceWriter(folder, engine.name, options.run, window, meta) as writer,
            writer.recording(session, stages),
        ):
            _run(session, tokens, chunking, options.steps)
    return writer.path


def _run(session: Session, tokens: Sequence[int], chunking: Chunking, steps: int) -> None:
    best = 0
    for row in logits_by_position(session, tokens, chunking):
        best = int(np.argmax(row))
    for _ in range(steps):
        best = int(np.argmax(session.decode(best)))


def _window(options: Options, recorded: StageFilter, n_layer: int) -> ValueWindow | bool:
    """Which values to keep; raises BadInput if that is none of what is recorded."""
    if options.values_filter is None and options.values_positions is None:
        return options.values
    positions = None if options.values_positions is None else parse_positions(options.values_positions)
    kept = StageFilter.parse(options.values_filter or "*:*", n_layer)
    if not any(recorded.matches(*pair) for pair in kept.pairs(n_layer)):
        raise BadInput(
            f"--values-filter {kept.text} keeps nothing of what --trace-filter {recorded.text} records"
        )
    return ValueWindow(kept, positions)


def _check_positions(window: ValueWindow | bool, count: int) -> None:
    """Raise BadInput if the window reaches beyond the positions that are run."""
    positions = window.positions if isinstance(window, ValueWindow) else None
    if positions is not None and positions.stop > count:
        raise BadInput(
            f"--values-positions: there is no position {positions.stop - 1}; 0 to {count - 1} are run"
        )
