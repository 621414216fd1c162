"""`bitparity bench`: time engines side by side on the same tokens."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from bitparity.bench.lane import Lane, make_lanes
from bitparity.bench.run import Plan, bench
from bitparity.bench.table import print_bench
from bitparity.choose import DEFAULT_PROMPT, bundled_choices, choose_model, refuses
from bitparity.cli.engine import arithmetic_option, kernels_option, time_limit_option
from bitparity.cli.model_file import open_of_engine
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.cli.repeat import command_line
from bitparity.engine import Engine, role_of
from bitparity.engines.program import PREFIX
from bitparity.engines.ways import limited, open_engine
from bitparity.errors import BadInput, EngineFailed, EngineUnavailable, NotCompared
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.types import Model
from bitparity.registry import DEFAULT_CANDIDATE, configure_each, engine_names, get_engine
from bitparity.runs import availability_of, refusal_of, require_runnable
from bitparity.settings import read_settings
from bitparity.tokenizer import Tokenizer

Chosen = Mapping[str, str | None]  # as registry.configure_each takes it
PREFILL = (64, 512)
DEPTHS = (0, 1024, 4096)


@click.command("bench")
@click.argument("model", required=False)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    help="Engine to time, or ENGINE=FILE for one with a file of its own; may be given several times.",
)
@kernels_option("those engines that have several")
@arithmetic_option("those engines that have several", "the reference's")
@click.option("--prefill", help="Lengths of prefill, with commas between.  [default: 64,512]")
@click.option("--depths", help="Depths to decode at, with commas between.  [default: 0,1024,4096]")
@click.option("--decode-tokens", type=click.IntRange(1), default=16, show_default=True, help="At each depth.")
@click.option(
    "--repetitions",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="After a warm-up; fewer than six give no ratios.",
)
@click.option("--threads", type=click.IntRange(1), help="Threads of each engine.")
@time_limit_option
@click.option("--json", "json_file", type=OutputFile(), help="Write it here.")
@click.pass_context
def command(
    ctx: click.Context,
    model: str | None,
    engines: tuple[str, ...],
    kernels: str | None,
    arithmetic: str | None,
    prefill: str | None,
    depths: str | None,
    decode_tokens: int,
    repetitions: int,
    threads: int | None,
    time_limit: float,
    json_file: Path | None,
) -> None:
    """Time engines side by side on the same tokens.

    MODEL is a GGUF file, a checkpoint's folder, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    Without --engine, native runs against every reference that is found and runs the model.  Lengths and
    depths that nobody asked for and that do not fit the model are left out.

    Before anything is timed, outputs are compared with the reference's as `bitparity compare` does.
    Exits with 1 when they diverge, 4 when nothing could be compared, and 5 when an engine failed.
    """
    chosen = {"kernels": kernels, "arithmetic": arithmetic}
    named = named_lanes(engines, model, chosen) if engines else default_lanes(model, chosen)
    lanes = [replace(lane, engine=limited(lane.engine, time_limit)) for lane in named]
    room = min(lane.model.hyper.context_length for lane in lanes)
    plan = Plan(
        prefill=_numbers("--prefill", prefill, least=1) or tuple(n for n in PREFILL if n <= room),
        depths=_numbers("--depths", depths, least=0) or tuple(n for n in DEPTHS if n + decode_tokens <= room),
        decode_tokens=decode_tokens,
        repetitions=repetitions,
    )
    with progress_bar("timing") as progress:
        result = bench(
            lanes,
            plan,
            _text(lanes[0].model),
            settings=read_settings(),
            threads=threads,
            time_limit=time_limit,
            progress=progress,
            command=command_line(ctx),
        )
    if json_file is not None:
        result.save(json_file)
    print_bench(result)
    if result.failure is not None:
        click.echo(f"bitparity: {result.failure}; what was measured before is shown", err=True)
        sys.exit(EngineFailed.exit_code)


def _numbers(option: str, text: str | None, *, least: int) -> tuple[int, ...]:
    """Whole numbers separated by commas, each kept once; an empty text has none."""
    parts = [] if text is None else text.split(",")
    wrong = [part for part in parts if not part.strip().isdecimal() or int(part) < least]
    if wrong:
        raise BadInput(
            f"{option} {text!r}: {wrong[0]!r} is no whole number from {least}; write for example 64,512"
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def named_lanes(names: Sequence[str], model: str | None, chosen: Chosen) -> list[Lane]:
    """Lanes of `ENGINE` and `ENGINE=FILE`; those without a file share one that they all run."""
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"--engine {doubled} was given twice")
    parts = [_engine_and_file(name) for name in names]
    engines = configure_each([open_engine(name) for name, _ in parts], **chosen)
    sharing = [engine for engine, (_, file) in zip(engines, parts, strict=True) if not file]
    shared = open_model(choose_model(model, sharing)) if sharing else None
    lanes = make_lanes(
        [(engine, _opened(file, shared)) for engine, (_, file) in zip(engines, parts, strict=True)]
    )
    for lane in lanes:
        require_runnable(lane.engine, lane.model)
    read_from = None if shared is None else shared.path
    return [lane if lane.model.tensors else replace(lane, read_from=read_from) for lane in lanes]


def _opened(file: str, shared: Model | None) -> Model:
    """The lane's own file, which only its engine may be able to read, or the one that lanes share."""
    if shared is None:
        return open_model(Path(file))
    return open_of_engine(Path(file), shared, read_settings()) if file else shared


def _engine_and_file(text: str) -> tuple[str, str]:
    """Both sides of the last `=`, which a program's own flags may have too."""
    engine, equals, file = text.rpartition("=")
    if not equals or (text.startswith(PREFIX) and not Path(file).is_file()):
        return text, ""
    return engine, file


def default_lanes(name: str | None, chosen: Chosen) -> list[Lane]:
    """The default candidate, and every reference that is found and runs the model."""
    engines = configure_each([get_engine(DEFAULT_CANDIDATE), *_references()], **chosen)
    model = open_model(_default_model(name, engines))
    formats = set(model.format_counts())
    lanes = make_lanes([(e, model) for e in engines if refusal_of(e, model.hyper.arch, formats) is None])
    if len(lanes) < 2:
        raise NotCompared(
            f"fewer than two engines run {model.path}, so there is nothing to compare; `bitparity doctor` "
            f"says what is missing, and --engine {DEFAULT_CANDIDATE} times {DEFAULT_CANDIDATE} alone"
        )
    return lanes


def _default_model(name: str | None, engines: Sequence[Engine]) -> Path:
    """The file of that name; of a bundled model, the weight format that most of the engines run."""
    choices = bundled_choices(name)
    if choices is None:
        return choose_model(name, engines)
    arch, weight_format = max(choices, key=lambda c: sum(not refuses(engine, *c) for engine in engines))
    return bundled_model(arch, weight_format)


def _references() -> list[Engine]:
    """The references that are found; one that fails when it is looked for is left out with a message."""
    found: list[Engine] = []
    for name in engine_names():
        try:
            engine = get_engine(name)
            if role_of(engine) == "reference" and availability_of(engine).found:
                found.append(engine)
        except EngineUnavailable:
            continue
        except EngineFailed as error:
            click.echo(f"bitparity: {error}; it is left out", err=True)
    return found


def _text(model: Model) -> list[int]:
    return Tokenizer.from_gguf(model.metadata).encode(DEFAULT_PROMPT, add_bos=True, parse_special=False)
