"""MODEL on the command line: a file, or a bundled model's name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.checks import Finding, Severity, check_model, refuse_to_run
from bitparity.model.types import Model
from bitparity.model.weights import check_mapping, describe_mapping
from bitparity.settings import Settings


def model_file(name: str | None) -> Path:
    """The path of a file, or of a bundled model as it came with the package, for use without an engine.

    Without a name it is the first bundled model.
    """
    return bundled_model(name or ARCHS[0]) if name is None or name in ARCHS else Path(name)


def open_chosen(path: Path, settings: Settings) -> Model:
    """Open a model; with BITNET_DEBUG_LOGITS=1 print its weight mapping to standard error and check it."""
    model = open_model(path)
    if settings.debug_logits:
        click.echo("\n".join(describe_mapping(model)), err=True)
        click.echo("\n".join(check_mapping(model)), err=True)
    return model


def open_of_engine(path: Path, meant: Model, settings: Settings) -> Model:
    """What an engine's own file holds.

    Where only the engine can read it, that is the model that is meant, without its tensors.
    """
    try:
        return open_chosen(path, settings)
    except BadInput as error:
        if not path.exists():
            raise
        click.echo(f"bitparity: {error}; its engine reads it, and ought to find {meant.path} in it", err=True)
        return replace(meant, path=path, tensors={})


def force_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--force`: run in spite of what the checks of the file say."""
    help_text = "Go on where a check of the file says that the result would mean nothing."
    return click.option("--force", is_flag=True, help=help_text)(command)


def check_file(
    model: Model, *, force: bool, engines: Collection[str] = (), texts: Sequence[str] = ()
) -> list[Finding]:
    """Tell on standard error what the checks of a file found, except notes, and return it.

    Raises BadInput or NotCompared for what stops a run, unless it is forced.
    """
    findings = check_model(model, engines=engines, texts=texts)
    if not force:
        refuse_to_run(findings, model.path.name)
    findings = [finding for finding in findings if finding.severity is not Severity.NOTE]
    for finding in findings:
        click.echo(f"{model.path.name}: {finding.sentence}", err=True)
    return findings
