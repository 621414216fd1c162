"""What `bitparity compare` does once it is known what was typed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import click

from bitparity.choose import choose_engine, choose_model, choose_prompts, choose_tokenizer
from bitparity.cli.model_file import open_chosen
from bitparity.cli.progress import progress_bar
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.judging import compare
from bitparity.compare.result import ComparisonResult
from bitparity.engine import Engine
from bitparity.model.types import Model
from bitparity.settings import Settings
from bitparity.stages import StageFilter

if TYPE_CHECKING:
    from bitparity.blame.engines import BlameReport


@dataclass(frozen=True)
class Options:
    """What was typed; names are those of the options of compare.py."""

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
    context: int | None
    threads: int | None
    device_id: int | None
    limit: float | None
    blame: bool
    trace_filter: str
    record: Path | None
    json_file: Path | None
    html_file: Path | None


def run_comparison(options: Options, reference: Engine, settings: Settings, command: str) -> int:
    """Compare, print and write what was asked for; returns the exit code."""
    prompts = choose_prompts(options.texts, options.prompt_file, options.tokens, reference)
    candidate = choose_engine(options.candidate, kernels=options.kernels, arithmetic=options.arithmetic)
    model = open_chosen(choose_model(options.model, [reference, candidate]), settings)
    comparison = Comparison(
        reference=Side(reference, _other(options.reference_model, model, settings)),
        candidate=Side(candidate, _other(options.candidate_model, model, settings)),
        prompts=prompts,
        settings=settings,
        model=model,
        chunking=Chunking.parse(options.chunks),
        steps=options.steps,
        context=options.context,
        threads=options.threads,
        device_id=options.device_id,
        tokenizer=choose_tokenizer(options.tokenizer, model),
        trace_filter=StageFilter.parse(options.trace_filter, model.hyper.n_layer).text,
        command=command,
    )
    return _compare(comparison, options).exit_code


def record_reference(file: Path, options: Options, reference: Engine, settings: Settings) -> None:
    """Run the reference alone and keep its logits in a file."""
    from bitparity.compare.recorder import make_recording
    from bitparity.compare.recording import save_recording

    prompts = choose_prompts(options.texts, options.prompt_file, options.tokens, reference)
    model = open_chosen(options.reference_model or choose_model(options.model, [reference]), settings)
    threads, device_id = options.threads, options.device_id
    recording = make_recording(
        reference, model, prompts, settings=settings, threads=threads, device_id=device_id
    )
    save_recording(recording, file)
    click.echo(
        f"recorded {sum(len(s.tokens) for s in recording.sequences)} positions of {reference.name}, "
        f"prefill and decode, in {file}: {file.stat().st_size:,} bytes"
    )


def _compare(comparison: Comparison, options: Options) -> ComparisonResult:
    reports: list[BlameReport] = []
    Thread(target=import_module, args=["bitparity.report.terminal"]).start()  # while the engines open
    with progress_bar("comparing") as progress:
        result = compare(
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
        _print(result, reports)
    return result


def _print(result: ComparisonResult, reports: list[BlameReport]) -> None:
    from bitparity.report.terminal import print_result

    for report in reports:
        from bitparity.report.blame import print_blame

        print_blame(report)
    print_result(result)


def _write(options: Options, result: ComparisonResult) -> None:
    """Write the files that were asked for; once more when more is known."""
    if options.json_file is not None:
        result.save(options.json_file)
    if options.html_file is not None:
        from bitparity.report.html import write_page

        write_page(result, options.html_file)


def _other(path: Path | None, model: Model, settings: Settings) -> Model:
    return model if path is None else open_chosen(path, settings)
