"""The part of `bitparity compare` that runs a corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from bitparity.blame.engines import BlameReport
from bitparity.cli.progress import progress_bar
from bitparity.compare.comparison import Comparison
from bitparity.corpus.result import CorpusResult
from bitparity.corpus.run import Corpus, compare_corpus
from bitparity.corpus.text import DEFAULT_WINDOW
from bitparity.errors import BadInput
from bitparity.report.blame import print_blame
from bitparity.report.corpus import print_corpus


def corpus_options(command: Callable[..., object]) -> Callable[..., object]:
    """The options --corpus, --window and --stride."""
    for option in (
        click.option(
            "--stride", type=click.IntRange(1), help="Tokens from one window to the next; half a window."
        ),
        click.option(
            "--window",
            type=click.IntRange(2),
            help=f"Tokens that a window of the corpus holds; {DEFAULT_WINDOW} if not given.",
        ),
        click.option(
            "--corpus",
            type=click.Path(dir_okay=False, path_type=Path),
            help="A long text, or token ids (.tokens): run in windows, figures with standard errors.",
        ),
    ):
        command = option(command)
    return command


def refuse_with_corpus(**others: object) -> None:
    """Raise BadInput when an option was given that means nothing for a corpus, by its name."""
    for name, value in others.items():
        if value:
            raise BadInput(f"--{name} means nothing with --corpus; leave one of them out")


def run_corpus(
    comparison: Comparison,
    path: Path,
    *,
    window: int | None,
    stride: int | None,
    limit: float | None,
    blame: bool,
    json_file: Path | None,
) -> CorpusResult:
    """Compare on the prompt that `read_corpus` made of the file, write what was asked for and print."""
    corpus = Corpus.cut(path, comparison, window, stride)
    reports: list[BlameReport] = []

    def write(result: CorpusResult) -> None:
        if json_file is not None:
            result.save(json_file)

    with progress_bar("comparing windows") as progress:
        result = compare_corpus(
            comparison,
            corpus,
            limit=limit,
            blame=blame,
            on_blame=reports.append,
            on_result=write,
            progress=progress,
        )
    for report in reports:
        print_blame(report)
    print_corpus(result)
    return result
