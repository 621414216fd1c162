"""`bitparity reduce`: make what diverges as small as it gets, for a bug report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bitparity.choose import choose_model, choose_prompts, choose_tokenizer
from bitparity.cli.engine import arithmetic_option, kernels_option, stage_map_option, time_limit_option
from bitparity.cli.model_file import check_file, force_option, open_chosen
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import Show, progress_bar
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.engines.ways import open_engine
from bitparity.errors import BadInput, NotCompared
from bitparity.output import write_json
from bitparity.reduce.bundle import SCRIPT, STAGE_SCRIPT, run_script, write_bundle
from bitparity.reduce.run import Reduction, reduced
from bitparity.reduce.symptom import tokens_of
from bitparity.registry import resolve_reference
from bitparity.settings import read_settings

_FILE = click.Path(dir_okay=False, path_type=Path)
_FILE_OR_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class Options:
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
    device_id: int | None
    stage_map: Path | None
    time_limit: float
    limit: float | None
    force: bool
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
            "--device-id": self.device_id,
            "--stage-map": None if self.stage_map is None else self.stage_map.resolve(),
        }
        for option, value in given.items():
            if value is not None:
                yield from (option, str(value))


@click.command("reduce")
@click.argument("model", required=False)
@click.option("--reference", default="auto", show_default=True, help="Engine to trust, as in compare.")
@click.option("--candidate", default="native", show_default=True, help="Engine under test.")
@kernels_option("the candidate")
@arithmetic_option("the candidate", "the reference's")
@click.option("--reference-model", type=_FILE_OR_FOLDER, help="Another file for the reference.")
@click.option("--candidate-model", type=_FILE_OR_FOLDER, help="Another file for the candidate alone.")
@click.option("--prompt", "texts", multiple=True, help="Text on which they diverge.")
@click.option("--prompts", "prompt_file", type=_FILE, help="File with a text a line, or JSON lines (.jsonl).")
@click.option("--tokens", help="Token ids, 1,2,3, or a file of them.")
@click.option("--tokenizer", type=_FILE, help="tokenizer.json that tokenizes for both engines.")
@click.option("--steps", type=click.IntRange(0), default=0, help="Positions to continue greedily.")
@click.option("--chunks", default="prefill", show_default=True, help="prefill, decode, mixed, or a size.")
@click.option("--threads", type=click.IntRange(1), help="Threads of each engine.")
@click.option("--device-id", type=int, help="Device of each engine.")
@stage_map_option("the candidate")
@time_limit_option
@click.option("--limit", type=click.FloatRange(0), help="Judge by this fixed limit on 1 - cosine.")
@force_option
@click.option(
    "--out",
    type=_FILE_OR_FOLDER,
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
    comparison = _comparison(options)
    with (
        progress_bar("reducing") as bar,
        reduced(comparison, limit=options.limit, tell=_teller(bar)) as found,
    ):
        files = write_bundle(found, options.out, list(options.repeated()))
    sys.exit(_report(options, found, comparison.meant.path.stat().st_size, files))


def _comparison(options: Options) -> Comparison:
    settings = read_settings()
    name = resolve_reference(options.reference, bitnet_cpp_is_set=settings.bitnet_cpp_dir is not None)
    reference = open_engine(name, time_limit=options.time_limit)
    candidate = open_engine(
        options.candidate,
        time_limit=options.time_limit,
        stage_map=options.stage_map,
        kernels=options.kernels,
        arithmetic=options.arithmetic,
    )
    engines = [reference, candidate]
    prompts = choose_prompts(options.texts, options.prompt_file, options.tokens, engines)
    model = open_chosen(choose_model(options.model, engines), settings)
    files = [
        path and open_chosen(path, settings) for path in (options.reference_model, options.candidate_model)
    ]
    sides = Side(reference, files[0] or model), Side(candidate, files[1] or model)
    for side in sides:
        check_file(side.model, force=options.force, engines=[side.engine.name])
    return Comparison(
        *sides,
        prompts=prompts,
        settings=settings,
        model=model,
        chunking=Chunking.parse(options.chunks),
        steps=options.steps,
        threads=options.threads,
        device_id=options.device_id,
        tokenizer=choose_tokenizer(options.tokenizer, model),
    )


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
