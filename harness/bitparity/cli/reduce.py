"""`bitparity reduce`: make what diverges as small as it gets, for a bug report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bitparity.cli.output import OutputFile
from bitparity.cli.progress import Show, progress_bar
from bitparity.cli.two_engines import TwoEngines, comparison_of, open_reference, two_engines_options
from bitparity.errors import BadInput, NotCompared
from bitparity.output import write_json
from bitparity.reduce.bundle import SCRIPT, STAGE_SCRIPT, run_script, write_bundle
from bitparity.reduce.run import Reduction, reduced
from bitparity.reduce.symptom import tokens_of
from bitparity.settings import read_settings


@dataclass(frozen=True)
class Options(TwoEngines):
    """What was typed; names are those of the options."""

    out: Path
    json_file: Path | None

    def repeated(self) -> Iterator[str]:
        """The options that the script of the bundle needs, files by their whole paths."""
        given = {
            "--reference": _whole(self.reference),
            "--candidate": _whole(self.candidate),
            "--kernels": self.kernels,
            "--arithmetic": self.arithmetic,
            "--threads": self.threads,
            "--reference-device-id": self.reference_device_id,
            "--candidate-device-id": self.candidate_device_id,
            "--stage-map": None if self.stage_map is None else self.stage_map.resolve(),
        }
        for option, value in given.items():
            if value is not None:
                yield from (option, str(value))


@click.command("reduce")
@two_engines_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reduced"),
    show_default=True,
    help="Folder to make for what is left.",
)
@click.option("--json", "json_file", type=OutputFile(), help="Write what was found here.")
def command(**given: Any) -> None:
    """Make what diverges as small as it gets: the shortest prompt, the fewest layers, one stage.

    Runs the comparison, leaves out tokens and layers for as long as the same stage is wrong (or the logits
    are as far apart, or the engine fails), and writes a folder for a bug report: the model that is left, a
    script that fails the same way, and the wrong stage with its inputs and outputs for NumPy.

    Exits with 0 when the script fails as the comparison did, 2 when nothing diverges, and 4 when it does not
    show again.
    """
    options = Options(**given)
    if options.out.exists():
        raise BadInput(f"{options.out} exists already; name another folder with --out")
    settings = read_settings()
    comparison, _ = comparison_of(options, open_reference(options, settings), settings)
    with (
        progress_bar("reducing") as bar,
        reduced(comparison, limit=options.limit, tell=_teller(bar)) as found,
    ):
        files = write_bundle(found, options.out, list(options.repeated()))
    sys.exit(_report(options, found, comparison.meant.path.stat().st_size, files))


def _teller(bar: Show | None) -> Callable[[str], None] | None:
    """Shows what is being done beside the bar."""
    return None if bar is None else lambda what: bar(0, 1, what)


def _report(options: Options, found: Reduction, size: int, files: dict[str, int]) -> int:
    """Run the scripts, tell what is left, and return the exit code."""
    tokens = tokens_of(found.comparison)
    left = found.comparison.meant.path
    rows = [
        ("tokens", found.tokens, len(tokens)),
        ("layers", found.n_layer, len(found.layers)),
        ("model bytes", size, files[f"model{left.suffix}"]),
    ]
    click.echo(f"{found.symptom.sentence}\n")
    click.echo(f"{'':12}{'before':>15}{'after':>15}")
    for what, before, after in rows:
        click.echo(f"{what:12}{before:>15,}{after:>15,}")
    click.echo(f"\nlayers left  {', '.join(map(str, found.layers))}")
    click.echo(f"tokens left  {','.join(map(str, tokens))}")
    for note in found.notes:
        click.echo(note)
    scripts = [name for name in (SCRIPT, STAGE_SCRIPT) if name in files]
    ended = {name: run_script(options.out / name) for name in scripts}
    click.echo(f"\n{options.out}: {', '.join(f'{name} {size:,}' for name, size in files.items())}")
    for name, (code, said) in ended.items():
        click.echo(f"{options.out / name} exits with {code}: {said.splitlines()[0] if said else ''}")
    if options.json_file is not None:
        write_json(options.json_file, _as_dict(found, rows, files, ended))
    expected = {SCRIPT: found.symptom.exit_code, STAGE_SCRIPT: 1}
    if any(code != expected[name] for name, (code, _) in ended.items()):
        raise NotCompared("the scripts do not fail as the comparison did; what is left may depend on chance")
    return 0


def _as_dict(
    found: Reduction,
    rows: list[tuple[str, int, int]],
    files: dict[str, int],
    ended: dict[str, tuple[int, str]],
) -> dict[str, Any]:
    return {
        "sentence": found.symptom.sentence,
        **{what.replace(" ", "_"): {"before": before, "after": after} for what, before, after in rows},
        "layers_left": list(found.layers),
        "tokens_left": tokens_of(found.comparison),
        "runs": found.trials,
        "notes": list(found.notes),
        "files": files,
        "scripts": {name: {"exit_code": code, "said": said} for name, (code, said) in ended.items()},
    }


def _whole(engine: str) -> str:
    """The name of an engine, a path made whole so that a script in another folder finds it."""
    return str(Path(engine).resolve()) if Path(engine).is_file() else engine
