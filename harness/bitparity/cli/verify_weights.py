"""`bitparity verify-weights`: whether two files, or a file and its checkpoint, hold the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bitparity.cli.kernel_config import kernel_config_option
from bitparity.cli.model_file import check_file, force_option, model_file
from bitparity.cli.output import OutputFile
from bitparity.formats.table_lookup import Tilings
from bitparity.model import open_model
from bitparity.model.checkpoint import is_checkpoint
from bitparity.model.checks.declared import file_type
from bitparity.model.types import Model
from bitparity.model.verify import Verification, verify_weights
from bitparity.model.verify_metadata import Difference, MetadataFound, compare_hyperparameters
from bitparity.model.verify_tokens import TokensFound, compare_tokenizers
from bitparity.output import write_json
from bitparity.settings import read_settings

_SHOWN = 10


@dataclass(frozen=True)
class Found:
    """What was compared; metadata and tokens where the first model is a checkpoint."""

    weights: Verification
    metadata: MetadataFound | None = None
    tokens: TokensFound | None = None

    @property
    def others(self) -> tuple[Difference, ...]:
        """Differences of what is no weight."""
        parts = (self.metadata, self.tokens)
        return tuple(found for part in parts if part is not None for found in part.differences)

    @property
    def is_same(self) -> bool:
        return self.weights.is_same and not self.others

    def as_dict(self) -> dict[str, Any]:
        weights = {"explained": self.weights.explained, **asdict(self.weights)}
        parts = {"metadata": self.metadata, "tokenizer": self.tokens}
        return {"same": self.is_same, **weights, **{k: asdict(v) for k, v in parts.items() if v is not None}}


@click.command("verify-weights")
@click.argument("expected", metavar="MODEL")
@click.argument("actual", metavar="OTHER")
@click.option("--json", "json_file", type=OutputFile(), help="Write the result here.")
@force_option
@kernel_config_option
def command(expected: str, actual: str, json_file: Path | None, force: bool, tilings: Tilings | None) -> None:
    """Prove that two models hold the same weights, in whatever formats, or name where they do not.

    MODEL and OTHER are GGUF files, or bitnet or bitnet-b1.58 for a bundled model.
    Codes must be equal; scales must be equal to the precision of the narrower format; a tensor in a format
    that rounds by blocks (an embedding in Q6_K) must be what packing the other's weights gives.

    MODEL may be a checkpoint of transformers, a folder.  Then every hyperparameter that an engine reads from
    OTHER must be the checkpoint's too, with what OTHER leaves to defaults told, and its vocabulary must give
    the checkpoint's ids for texts that are hard to cut, and the checkpoint's bytes for every id.

    Exit code 1 when they differ, with what would make them equal, where that is known (another layout of
    I2_S, scales that are inverses or means, rows permuted for RoPE or shifted, the weights of another
    projection), and with what each difference does to the model.
    """
    models = [open_model(model_file(name), tilings=tilings) for name in (expected, actual)]
    for model in models:
        if not is_checkpoint(model.path):
            check_file(model, force=force)
    found = _found(*models)
    if json_file is not None:
        write_json(json_file, found.as_dict())
    declared = [f"{model.path.name}: {said.sentence}" for model in models for said in file_type(model)]
    click.echo("\n".join([*declared, *_lines(models[0], found)]))
    raise SystemExit(0 if found.is_same else 1)


def _found(expected: Model, actual: Model) -> Found:
    weights = verify_weights(expected, actual, threads=read_settings().threads)
    if not is_checkpoint(expected.path):
        return Found(weights)
    return Found(weights, compare_hyperparameters(expected, actual), compare_tokenizers(expected, actual))


def _lines(expected: Model, found: Found) -> list[str]:
    lines = [*expected.notes, *_weight_lines(found.weights)]
    for each in found.others:
        lines += _with_effect(each.message, each.effect)
    if found.metadata is not None:
        what = f"metadata: {found.metadata.compared} hyperparameters"
        lines += [_summary(what, found.metadata.differences), *found.metadata.notes]
    if found.tokens is not None:
        what = f"tokenizer: {found.tokens.tokens:,} tokens, {found.tokens.texts} hard texts"
        lines += [_summary(what, found.tokens.differences), *found.tokens.notes]
    amount = f"{found.weights.weights:,} weights in {found.weights.tensors} tensors"
    count = len(found.weights.differences) + len(found.others)
    different = f"not the same: {_counted(count)}, {amount}"
    return [*lines, f"the same: {amount}" if found.is_same else different]


def _weight_lines(found: Verification) -> list[str]:
    lines: list[str] = []
    for difference in found.differences[:_SHOWN]:
        lines += _with_effect(difference.message, difference.effect)
    if len(found.differences) > _SHOWN:
        lines.append(f"and {len(found.differences) - _SHOWN} more tensors")
    if found.explained and len(found.differences) > 1:
        lines.append(f"one reason for all {len(found.differences)} differences: {found.explained}")
    return lines + [
        f"{name} is rounded in one file, to what packing the other's weights gives" for name in found.rounded
    ]


def _with_effect(message: str, effect: str) -> list[str]:
    return [message, f"  -> {effect}"]


def _summary(what: str, differences: Sequence[Difference]) -> str:
    return f"{what}, {_counted(len(differences))}"


def _counted(count: int) -> str:
    return f"{count or 'no'} difference{'' if count == 1 else 's'}"
