"""`bitparity compare`: run two engines on the same tokens and compare every position."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from bitparity.blame.engines import BlameReport
from bitparity.choose import choose_model, choose_models, choose_prompts, choose_tokenizer
from bitparity.cli.corpus import corpus_options, refuse_with_corpus, run_corpus
from bitparity.cli.engine import arithmetic_option, kernels_option, stage_map_option, time_limit_option
from bitparity.cli.model_file import check_file, force_option, open_chosen
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.cli.repeat import command_line
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.recorder import make_recording
from bitparity.compare.recording import save_recording
from bitparity.compare.result import ComparisonResult
from bitparity.compare.run import compare_engines
from bitparity.compare.several import SeveralResult, compare_several
from bitparity.corpus.result import CorpusResult
from bitparity.corpus.text import read_corpus
from bitparity.engine import Engine
from bitparity.engines.ways import open_engine
from bitparity.errors import BadInput
from bitparity.model.checks import Finding
from bitparity.model.types import Model
from bitparity.noise.verdict import PASSES, Verdict
from bitparity.registry import resolve_reference
from bitparity.report.blame import print_blame
from bitparity.report.html import write_page
from bitparity.report.several import print_several
from bitparity.report.terminal import print_result
from bitparity.settings import Settings, read_settings
from bitparity.stages import StageFilter

_FILE = click.Path(dir_okay=False, path_type=Path)
_FILE_OR_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class Options:
    """What was typed; names are those of the options."""

    model: str | None
    reference: str
    candidate: str
    also: tuple[str, ...]
    kernels: str | None
    arithmetic: str | None
    reference_model: Path | None
    candidate_model: Path | None
    texts: tuple[str, ...]
    prompt_file: Path | None
    tokens: str | None
    corpus: Path | None
    window: int | None
    stride: int | None
    tokenizer: Path | None
    steps: int
    chunks: str
    context: int | None
    threads: int | None
    device_id: int | None
    stage_map: Path | None
    time_limit: float
    limit: float | None
    require: str
    blame: bool
    force: bool
    trace_filter: str
    record: Path | None
    json_file: Path | None
    html_file: Path | None


@click.command("compare")
@click.argument("model", required=False)
@click.option(
    "--reference",
    default="auto",
    show_default=True,
    help="Engine to trust: a name, a shared library, a recording, or logits (.npy, .npz).",
)
@click.option(
    "--candidate", default="native", show_default=True, help="Engine under test, as the reference is named."
)
@click.option("--also", multiple=True, help="Another engine, compared with both; may be given several times.")
@kernels_option("the candidate")
@arithmetic_option("the candidate", "the reference's")
@click.option(
    "--reference-model",
    type=_FILE_OR_FOLDER,
    help="Another file for the reference, say a twin in its format.",
)
@click.option(
    "--candidate-model",
    type=_FILE_OR_FOLDER,
    help="Another file for the candidate alone, of any format that it reads.",
)
@click.option("--prompt", "texts", multiple=True, help="Text to compare on; may be given several times.")
@click.option("--prompts", "prompt_file", type=_FILE, help="File with a text a line, or JSON lines (.jsonl).")
@click.option("--tokens", help="Token ids, 1,2,3, or a file of them; tokenizers are not used.")
@corpus_options
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
@stage_map_option("the candidate")
@time_limit_option
@click.option(
    "--limit",
    type=click.FloatRange(0),
    help="Judge by this fixed limit on 1 - cosine, not by measured noise.",
)
@click.option(
    "--require",
    type=click.Choice([verdict.value for verdict in PASSES]),
    default=Verdict.NOISE.value,
    show_default=True,
    help="The least that passes.",
)
@click.option("--blame", is_flag=True, help="Judge every stage of both engines.")
@force_option
@click.option(
    "--trace-filter", default="*:*", show_default=True, help="layer:stage to record with BITNET_TRACE_DIR."
)
@click.option("--record", type=OutputFile(), help="Run the reference alone and keep its logits in this file.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the result here.")
@click.option("--html", "html_file", type=OutputFile(), help="Write a page with a chart here.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Run two engines on the same tokens and compare every position.

    MODEL is a GGUF file, a checkpoint's folder, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    A file of prompts has one text a line; a .jsonl file has a string, a list of token ids, or an object
    with "text" or "tokens" a line.

    Exits with 0 when the engines agree, when the oracle explains what they differ by, or when that is noise;
    1 when they diverged or less passed than --require says, 3 when they tokenize differently, 4 when nothing
    could be compared, and 5 when an engine failed.
    """
    options, settings = Options(**given), read_settings()
    name = resolve_reference(options.reference, bitnet_cpp_is_set=settings.bitnet_cpp_dir is not None)
    reference = open_engine(name, time_limit=options.time_limit)
    if options.record is not None:
        _record(options.record, options, reference, settings)
    elif options.also:
        sys.exit(_compare_several(options, reference, settings, command_line(ctx)).exit_code)
    elif options.corpus is not None:
        sys.exit(_compare_corpus(options, reference, settings, command_line(ctx)).exit_code)
    else:
        sys.exit(_compare(options, reference, settings, command_line(ctx)).exit_code)


def _compare(options: Options, reference: Engine, settings: Settings, command: str) -> ComparisonResult:
    """Compare, print and write what was asked for."""
    comparison = _comparison(options, reference, settings, command)
    reports: list[BlameReport] = []
    with progress_bar("comparing") as progress:
        result = compare_engines(
            comparison,
            limit=options.limit,
            blame=options.blame,
            on_blame=reports.append,
            on_result=partial(_write, options),
            progress=progress,
        )
    try:
        _write(options, result)
    finally:
        for report in reports:
            print_blame(report)
        print_result(result)
    return result


def _compare_several(options: Options, reference: Engine, settings: Settings, command: str) -> SeveralResult:
    """Compare every two of more than two engines, print it and write what was asked for."""
    if options.corpus is not None or options.html_file is not None:
        raise BadInput("--corpus and --html are for two engines; leave them out, or --also")
    comparison, others = _sides(options, reference, settings, command)
    with progress_bar("comparing") as progress:
        result = compare_several(
            comparison, others, limit=options.limit, blame=options.blame, progress=progress
        )
    try:
        if options.json_file is not None:
            result.save(options.json_file)
    finally:
        print_several(result)
    return result


def _compare_corpus(options: Options, reference: Engine, settings: Settings, command: str) -> CorpusResult:
    assert options.corpus is not None
    return run_corpus(
        _comparison(options, reference, settings, command),
        options.corpus,
        window=options.window,
        stride=options.stride,
        limit=options.limit,
        blame=options.blame,
        json_file=options.json_file,
    )


def _comparison(options: Options, reference: Engine, settings: Settings, command: str) -> Comparison:
    return _sides(options, reference, settings, command)[0]


def _sides(
    options: Options, reference: Engine, settings: Settings, command: str
) -> tuple[Comparison, list[Side]]:
    """What to compare: reference and candidate, and the other engines with the files that they run."""
    candidate = open_engine(
        options.candidate,
        time_limit=options.time_limit,
        stage_map=options.stage_map,
        kernels=options.kernels,
        arithmetic=options.arithmetic,
    )
    also = [open_engine(name, time_limit=options.time_limit) for name in options.also]
    engines = [reference, candidate, *also]
    prompts = _prompts(options, engines)
    model, *opened = _models(options.model, engines, settings)
    own = [options.reference_model, options.candidate_model, *(None for _ in also)]
    first, second, *others = [
        Side(engine, _other(path, file, settings))
        for engine, path, file in zip(engines, own, opened, strict=True)
    ]
    comparison = Comparison(
        first,
        second,
        prompts=prompts,
        settings=settings,
        model=model,
        chunking=Chunking.parse(options.chunks),
        steps=options.steps,
        context=options.context,
        threads=options.threads,
        device_id=options.device_id,
        tokenizer=choose_tokenizer(options.tokenizer, model),
        required=Verdict(options.require),
        trace_filter=StageFilter.parse(options.trace_filter, model.hyper.n_layer).text,
        command=command,
        findings=_findings([first, second, *others], prompts, options.force),
    )
    return comparison, others


def _models(name: str | None, engines: Sequence[Engine], settings: Settings) -> list[Model]:
    """The model that is meant, the checkpoint where some engine opens one, then that of each engine."""
    paths = choose_models(name, engines)
    opened = {path: open_chosen(path, settings) for path in dict.fromkeys(paths)}
    meant = next((path for path in paths if path.is_dir()), paths[0])
    return [opened[path] for path in (meant, *paths)]


def _prompts(options: Options, engines: Sequence[Engine]) -> list[Prompt]:
    if options.corpus is None:
        return choose_prompts(options.texts, options.prompt_file, options.tokens, engines)
    given = {"prompt": options.texts, "prompts": options.prompt_file, "tokens": options.tokens}
    refuse_with_corpus(**given, steps=options.steps, record=options.record, html=options.html_file)
    return [read_corpus(options.corpus)]


def _findings(sides: Sequence[Side], prompts: Sequence[Prompt], force: bool) -> list[Finding]:
    """What the checks of the files say, each file checked for the engines that run it."""
    texts = [prompt.text for prompt in prompts if prompt.text]
    found: list[Finding] = []
    for model in {side.model.path: side.model for side in sides}.values():
        engines = [side.engine.name for side in sides if side.model.path == model.path]
        found += check_file(model, force=force, engines=engines, texts=texts)
    return found


def _record(file: Path, options: Options, reference: Engine, settings: Settings) -> None:
    """Run the reference alone and keep its logits in a file."""
    prompts = _prompts(options, [reference])
    model = open_chosen(options.reference_model or choose_model(options.model, [reference]), settings)
    _findings([Side(reference, model)], prompts, options.force)
    threads, device_id = options.threads, options.device_id
    recording = make_recording(
        reference, model, prompts, settings=settings, threads=threads, device_id=device_id
    )
    save_recording(recording, file)
    click.echo(
        f"recorded {sum(len(s.logits) for s in recording.sequences)} positions of {reference.name}, "
        f"prefill and decode, in {file}: {file.stat().st_size:,} bytes"
    )


def _write(options: Options, result: ComparisonResult) -> None:
    """Write the files that were asked for; once more when more is known."""
    if options.json_file is not None:
        result.save(options.json_file)
    if options.html_file is not None:
        write_page(result, options.html_file)


def _other(path: Path | None, model: Model, settings: Settings) -> Model:
    """What an engine's own file holds: the model that is meant, where only the engine can read the file."""
    if path is None:
        return model
    try:
        return open_chosen(path, settings)
    except BadInput as error:
        if not path.exists():
            raise
        click.echo(f"bitparity: {error}; its engine reads it, and ought to find {model.path} in it", err=True)
        return replace(model, path=path, tensors={})
