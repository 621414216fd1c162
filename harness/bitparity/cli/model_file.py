"""MODEL on the command line: a file, or a bundled model's name."""

from __future__ import annotations

from pathlib import Path

import click

from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.types import Model
from bitparity.model.weights import check_mapping, describe_mapping
from bitparity.settings import Settings


def model_file(name: str | None) -> Path:
    """Where no engine has a say in it: the path of a file, or of a bundled model as it came with the package.

    Without a name it is the first bundled model.
    """
    return bundled_model(name or ARCHS[0]) if name is None or name in ARCHS else Path(name)


def open_chosen(path: Path, settings: Settings) -> Model:
    """Open a model; with BITNET_DEBUG_LOGITS=1 its weight mapping is told on standard error and checked."""
    model = open_model(path)
    if settings.debug_logits:
        click.echo("\n".join(describe_mapping(model)), err=True)
        click.echo("\n".join(check_mapping(model)), err=True)
    return model
