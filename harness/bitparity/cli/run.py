"""`bitparity run`: generate text with one engine."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bitparity.choose import choose_model, choose_tokenizer
from bitparity.cli.engine import arithmetic_option, kernels_option, time_limit_option
from bitparity.cli.model_file import check_file, force_option, open_chosen
from bitparity.compare.positions import check_tokens
from bitparity.compare.prompts import Prompt, encode, parse_tokens, text_prompt
from bitparity.engines.ways import open_engine
from bitparity.errors import BadInput
from bitparity.guard import GuardedSession
from bitparity.model.types import Model
from bitparity.runs import choose_context, open_session, tracing
from bitparity.settings import read_settings
from bitparity.stages import StageFilter
from bitparity.tokenizer import Tokenizer

_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Options:
    """What was typed; names are those of the options below."""

    model: str | None
    engine: str
    kernels: str | None
    arithmetic: str | None
    prompt: str | None
    tokens: str | None
    tokenizer: Path | None
    max_tokens: int
    greedy: bool
    context: int | None
    threads: int | None
    device_id: int | None
    time_limit: float
    force: bool
    trace_filter: str


@click.command("run")
@click.argument("model", required=False)
@click.option("--engine", default="native", show_default=True, help="Engine that runs it.")
@kernels_option("the engine")
@arithmetic_option("the engine", "its own")
@click.option("--prompt", help="Text to continue.")
@click.option("--tokens", help="Token ids to continue, 1,2,3, or a file of them.")
@click.option("--tokenizer", type=_FILE, help="tokenizer.json used instead of the model's own.")
@click.option("--max-tokens", type=click.IntRange(1), default=32, show_default=True, help="Tokens to add.")
@click.option("--greedy", is_flag=True, help="Take the best token each time (the only way there is).")
@click.option("--context", type=click.IntRange(1), help="Positions to make room for.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.")
@click.option("--device-id", type=int, help="Device of the engine.")
@time_limit_option
@force_option
@click.option("--trace-filter", default="*:*", show_default=True, help="layer:stage for BITNET_TRACE_DIR.")
def command(**given: Any) -> None:
    """Generate text with one engine, greedily, and print it as it comes.

    MODEL is a GGUF file, a checkpoint's folder, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    It stops after --max-tokens, or at the end token of the model.  Speed goes to standard error.
    """
    options = Options(**given)
    settings = read_settings()
    engine = open_engine(
        options.engine, time_limit=options.time_limit, kernels=options.kernels, arithmetic=options.arithmetic
    )
    prompt = _choose_prompt(options)
    model = open_chosen(choose_model(options.model, [engine]), settings)
    check_file(model, force=options.force, engines=[engine.name], texts=[prompt.text] if prompt.text else ())
    external = choose_tokenizer(options.tokenizer, model)
    tokenizer = external or Tokenizer.from_gguf(model.metadata)
    stages = StageFilter.parse(options.trace_filter, model.hyper.n_layer).text
    needed = prompt.largest_length() + options.max_tokens
    with open_session(
        engine,
        model,
        context=options.context or choose_context(model, needed),
        settings=settings,
        threads=options.threads,
        device_id=options.device_id,
    ) as session:
        tokens = encode(prompt, session, external, lambda: tokenizer)
        check_tokens(tokens, session, steps=options.max_tokens)
        with tracing(session, settings, run=engine.name, stages=stages, tokens=tokens):
            _generate(session, tokenizer, tokens, options.max_tokens, _end_tokens(model))


def _generate(
    session: GuardedSession, tokenizer: Tokenizer, tokens: list[int], count: int, ends: frozenset[int]
) -> None:
    """Print the text as it comes."""
    started = time.perf_counter()
    first = last = started
    generated = 0
    for streamed in session.stream(tokens, max_tokens=count, ends=ends, tokenizer=tokenizer):
        last = time.perf_counter()
        first = last if generated == 0 else first
        generated += 1
        click.echo(streamed.piece, nl=False)
        sys.stdout.flush()
    click.echo()
    click.echo(_speed(len(tokens), first - started, generated, last - first), err=True)


def _speed(n_prompt: int, prompt_seconds: float, generated: int, seconds: float) -> str:
    prompt = f"{n_prompt} prompt tokens at {n_prompt / prompt_seconds:.1f} tokens/s"
    # The first token comes from the prompt, so one decode less than tokens was timed.
    rate = f" at {(generated - 1) / seconds:.1f} tokens/s" if generated > 1 else ""
    return f"{prompt}, {generated} generated{rate}"


def _choose_prompt(options: Options) -> Prompt:
    if (options.prompt is None) == (options.tokens is None):
        raise BadInput("say what to continue, in one way: --prompt or --tokens")
    return parse_tokens(options.tokens) if options.tokens is not None else text_prompt(options.prompt or "")


def _end_tokens(model: Model) -> frozenset[int]:
    keys = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
    return frozenset(int(model.metadata[key]) for key in keys if key in model.metadata)
