"""bitparity blame: judge two stored traces, without running anything."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bitparity.blame.engines import Evidence, blame
from bitparity.cli.model_file import model_file
from bitparity.cli.output import OutputFile
from bitparity.errors import BadInput
from bitparity.model import open_model
from bitparity.model.twin import in_formats_of
from bitparity.model.types import Model
from bitparity.output import write_json
from bitparity.report.blame import print_blame
from bitparity.runs import file_digest
from bitparity.stages import StageFilter
from bitparity.trace import Trace, read_trace

_PATH = click.Path(path_type=Path)


@click.command("blame")
@click.argument("expected", type=_PATH)
@click.argument("actual", type=_PATH)
@click.option("--model", help="Model that both were meant to run, as in compare; else the one of EXPECTED.")
@click.option("--stages", default="*:*", show_default=True, help="layer:stage to judge.")
@click.option("--json", "json_file", type=OutputFile(), help="Write every stage's errors here.")
def command(expected: Path, actual: Path, model: str | None, stages: str, json_file: Path | None) -> None:
    """Find the first stage that is wrong and name the engine that is.

    EXPECTED and ACTUAL are folders that `bitparity trace --values` wrote; only what they hold is used.

    Exits with 0 when no stage is wrong, 1 when one is, 4 when nothing could be judged.
    """
    traces = [read_trace(folder) for folder in (expected, actual)]
    opened = open_model(model_file(model) if model else _recorded_model(traces[0].meta, expected))
    wanted = StageFilter.parse(stages, opened.hyper.n_layer)
    tokens = traces[0].tokens
    if tokens != traces[1].tokens:
        raise BadInput(f"{expected} and {actual} are traces of different tokens; there is nothing to blame")
    report = blame(opened, *(_evidence(t, opened) for t in traces), tokens=tokens, stages=wanted)
    if json_file is not None:
        write_json(json_file, report.as_dict())
    print_blame(report)
    sys.exit(report.exit_code)


def _evidence(trace: Trace, meant: Model) -> Evidence:
    """A trace, to be judged in the formats of the file that it was recorded from, if that is still there."""
    recorded = trace.meta.get("model") or {}
    path = Path(str(recorded.get("path", "")))
    if not path.is_file() or file_digest(path) != recorded.get("blake3"):
        return Evidence.of(trace)
    return Evidence.of(trace, model=in_formats_of(open_model(path), meant))


def _recorded_model(meta: dict[str, object], trace: Path) -> Path:
    recorded = meta.get("model")
    path = recorded.get("path") if isinstance(recorded, dict) else None
    if not path:
        raise BadInput(f"{trace} does not say which model it ran; name it with --model")
    return Path(str(path))
