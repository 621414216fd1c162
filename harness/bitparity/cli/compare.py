"""`bitparity compare`: run two engines on the same tokens and compare every position."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from bitparity.blame.engines import BlameReport
from bitparity.choose import choose_model
from bitparity.cli.corpus import corpus_options, refuse_with_corpus, run_corpus
from bitparity.cli.model_file import open_chosen
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.cli.repeat import command_line
from bitparity.cli.two_engines import (
    TwoEngines,
    comparison_of,
    findings_of,
    open_reference,
    prompts_of,
    two_engines_options,
)
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
from bitparity.errors import BadInput
from bitparity.noise.verdict import PASSES, Verdict
from bitparity.report.blame import print_blame
from bitparity.report.html import write_page
from bitparity.report.several import print_several
from bitparity.report.terminal import print_result
from bitparity.settings import Settings, read_settings
from bitparity.stages import StageFilter

_FILE = click.Path(dir_okay=False, path_type=Path)
_FILE_OR_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class Options(TwoEngines):
    """What was typed; names are those of the options."""

    also: tuple[str, ...]
    corpus: Path | None
    window: int | None
    stride: int | None
    context: int | None
    require: str
    blame: bool
    trace_filter: str
    record: Path | None
    json_file: Path | None
    html_file: Path | None


@click.command("compare")
@two_engines_options
@click.option("--also", multiple=True, help="Another engine, compared with both; may be given several times.")
@corpus_options
@click.option("--context", type=click.IntRange(1), help="Positions to make room for.")
@click.option(
    "--require",
    type=click.Choice([verdict.value for verdict in PASSES]),
    default=Verdict.NOISE.value,
    show_default=True,
    help="The least that passes.",
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

    MODEL is a GGUF file, a checkpoint's folder, or bitnet (the default) or bitnet-b1.58 for a bundled model.
    A file of prompts has one text a line; a .jsonl file has a string, a list of token ids, or an object
    with "text" or "tokens" a line.

    Exits with 0 when the engines agree, when the oracle explains what they differ by, or when that is noise;
    1 when they diverged or less passed than --require says, 3 when they tokenize differently, 4 when nothing
    could be compared, and 5 when an engine failed.
    """
    options, settings = Options(**given), read_settings()
    reference = open_reference(options, settings)
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
    comparison = _sides(options, reference, settings, command)[0]
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
        _sides(options, reference, settings, command)[0],
        options.corpus,
        window=options.window,
        stride=options.stride,
        limit=options.limit,
        blame=options.blame,
        json_file=options.json_file,
    )


def _sides(
    options: Options, reference: Engine, settings: Settings, command: str
) -> tuple[Comparison, list[Side]]:
    """What to compare, and the other engines with the files that they run."""
    comparison, others = comparison_of(
        options, reference, settings, also=options.also, prompts=_corpus_prompts(options)
    )
    stages = StageFilter.parse(options.trace_filter, comparison.meant.hyper.n_layer).text
    required = Verdict(options.require)
    asked = replace(
        comparison, context=options.context, required=required, trace_filter=stages, command=command
    )
    return asked, others


def _corpus_prompts(options: Options) -> list[Prompt] | None:
    """The corpus as a prompt; None where there is none."""
    if options.corpus is None:
        return None
    given = {"prompt": options.texts, "prompts": options.prompt_file, "tokens": options.tokens}
    refuse_with_corpus(**given, steps=options.steps, record=options.record, html=options.html_file)
    return [read_corpus(options.corpus)]


def _record(file: Path, options: Options, reference: Engine, settings: Settings) -> None:
    """Run the reference alone and keep its logits in a file."""
    prompts = _corpus_prompts(options) or prompts_of(options, [reference])
    model = open_chosen(options.reference_model or choose_model(options.model, [reference]), settings)
    findings_of([Side(reference, model)], prompts, force=options.force)
    recording = make_recording(
        reference,
        model,
        prompts,
        settings=settings,
        threads=options.threads,
        device_id=options.reference_device_id,
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
