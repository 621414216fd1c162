"""What commands that compare a candidate with a reference share: their options, and what these ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bitparity.choose import choose_models, choose_prompts, choose_tokenizer
from bitparity.cli.engine import arithmetic_option, kernels_option, stage_map_option, time_limit_option
from bitparity.cli.model_file import check_file, force_option, open_chosen, open_of_engine
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.engine import Engine
from bitparity.engines.ways import open_engine
from bitparity.model.checks import Finding
from bitparity.model.types import Model
from bitparity.registry import resolve_reference
from bitparity.settings import Settings

_FILE = click.Path(dir_okay=False, path_type=Path)
_FILE_OR_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class TwoEngines:
    """What was typed; names are those of the options."""

    model: str | None
    reference: str
    candidate: str
    kernels: str | None
    arithmetic: str | None
    reference_model: Path | None
    candidate_model: Path | None
    texts: tuple[str, ...]
    prompt_file: Path | None
    tokens: str | None
    tokenizer: Path | None
    steps: int
    chunks: str
    threads: int | None
    reference_device_id: int | None
    candidate_device_id: int | None
    stage_map: Path | None
    time_limit: float
    limit: float | None
    force: bool


def two_engines_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument MODEL and the options of TwoEngines."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.argument("model", required=False),
    click.option(
        "--reference",
        default="auto",
        show_default=True,
        help="Engine to trust: a name, a shared library, a recording, or logits (.npy, .npz).",
    ),
    click.option(
        "--candidate",
        default="native",
        show_default=True,
        help="Engine under test, as the reference is named.",
    ),
    kernels_option("the candidate"),
    arithmetic_option("the candidate", "the reference's"),
    click.option(
        "--reference-model",
        type=_FILE_OR_FOLDER,
        help="Another file for the reference, say a twin in its format.",
    ),
    click.option(
        "--candidate-model",
        type=_FILE_OR_FOLDER,
        help="Another file for the candidate alone, of any format that it reads.",
    ),
    click.option("--prompt", "texts", multiple=True, help="Text to run; may be given several times."),
    click.option(
        "--prompts", "prompt_file", type=_FILE, help="File with a text a line, or JSON lines (.jsonl)."
    ),
    click.option("--tokens", help="Token ids, 1,2,3, or a file of them; tokenizers are not used."),
    click.option("--tokenizer", type=_FILE, help="tokenizer.json that tokenizes for both engines."),
    click.option(
        "--steps",
        type=click.IntRange(0),
        default=0,
        help="Positions to continue greedily, on the reference's tokens.",
    ),
    click.option("--chunks", default="prefill", show_default=True, help="prefill, decode, mixed, or a size."),
    click.option("--threads", type=click.IntRange(1), help="Threads of each engine."),
    click.option("--reference-device-id", type=int, help="Device of the reference, as `doctor` counts them."),
    click.option("--candidate-device-id", type=int, help="Device of the candidate."),
    stage_map_option("the candidate"),
    time_limit_option,
    click.option(
        "--limit",
        type=click.FloatRange(0),
        help="Judge by this fixed limit on 1 - cosine, not by measured noise.",
    ),
    force_option,
)


def open_reference(options: TwoEngines, settings: Settings) -> Engine:
    """The reference that was typed, or that the settings choose."""
    name = resolve_reference(options.reference, bitnet_cpp_is_set=settings.bitnet_cpp_dir is not None)
    return open_engine(name, time_limit=options.time_limit)


def prompts_of(options: TwoEngines, engines: Sequence[Engine]) -> list[Prompt]:
    """What was typed to run, or what the engines ask for."""
    return choose_prompts(options.texts, options.prompt_file, options.tokens, engines)


def comparison_of(
    options: TwoEngines,
    reference: Engine,
    settings: Settings,
    *,
    also: Sequence[str] = (),
    prompts: Sequence[Prompt] | None = None,
) -> tuple[Comparison, list[Side]]:
    """What to compare: reference and candidate, and the other engines with the files that they run.

    also     names of those
    prompts  what is run, where the options do not say it

    Raises BadInput and NotCompared for what cannot be compared.
    """
    candidate = open_engine(
        options.candidate,
        time_limit=options.time_limit,
        stage_map=options.stage_map,
        kernels=options.kernels,
        arithmetic=options.arithmetic,
    )
    engines = [reference, candidate, *(open_engine(name, time_limit=options.time_limit) for name in also)]
    run = prompts_of(options, engines) if prompts is None else prompts
    model, *opened = _models(options.model, engines, settings)
    own = [options.reference_model, options.candidate_model, *(None for _ in also)]
    devices = [options.reference_device_id, options.candidate_device_id, *(None for _ in also)]
    first, second, *others = [
        Side(engine, _opened(path, file, settings), device_id)
        for engine, path, file, device_id in zip(engines, own, opened, devices, strict=True)
    ]
    comparison = Comparison(
        first,
        second,
        prompts=run,
        settings=settings,
        model=model,
        chunking=Chunking.parse(options.chunks),
        steps=options.steps,
        threads=options.threads,
        tokenizer=choose_tokenizer(options.tokenizer, model),
        findings=findings_of([first, second, *others], run, force=options.force),
    )
    return comparison, others


def _models(name: str | None, engines: Sequence[Engine], settings: Settings) -> list[Model]:
    """The model that is meant, the checkpoint where some engine opens one, then that of each engine."""
    paths = choose_models(name, engines)
    opened = {path: open_chosen(path, settings) for path in dict.fromkeys(paths)}
    meant = next((path for path in paths if path.is_dir()), paths[0])
    return [opened[path] for path in (meant, *paths)]


def findings_of(sides: Sequence[Side], prompts: Sequence[Prompt], *, force: bool) -> list[Finding]:
    """What the checks of the files say, each file checked for the engines that run it."""
    texts = [prompt.text for prompt in prompts if prompt.text]
    found: list[Finding] = []
    for model in {side.model.path: side.model for side in sides}.values():
        engines = [side.engine.name for side in sides if side.model.path == model.path]
        found += check_file(model, force=force, engines=engines, texts=texts)
    return found


def _opened(path: Path | None, meant: Model, settings: Settings) -> Model:
    """What an engine's own file holds; the model that is meant, where it has none."""
    return meant if path is None else open_of_engine(path, meant, settings)
