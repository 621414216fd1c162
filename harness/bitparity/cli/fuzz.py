"""`bitparity fuzz`: search formats, kernels and sessions for inputs that break their contracts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bitparity.cli.cluster import scheduler_option, workers_option
from bitparity.cli.output import OutputFile
from bitparity.fuzz.campaign import KnownReport, Report, run_campaign
from bitparity.fuzz.cluster import run_campaign_on
from bitparity.fuzz.implementations import Implementation, find_implementations, pick
from bitparity.fuzz.replay import save_snippet, snippet
from bitparity.fuzz.sessions import engines
from bitparity.output import write_json
from bitparity.settings import Settings, read_settings
from bitparity.sweep.cluster import open_cluster

GROUPS = ("formats", "kernels", "sessions")


@click.command("fuzz")
@click.argument("groups", nargs=-1, type=click.Choice(GROUPS))
@click.option(
    "--examples", default=100, show_default=True, type=click.IntRange(min=1), help="Cases a target."
)
@click.option("--seed", type=int, help="Default: BITNET_SEED, else 0.")
@click.option(
    "--implementation", "names", multiple=True, help="Test only this one, say native/avx2; may be repeated."
)
@click.option(
    "--time-limit", type=click.FloatRange(min=0), help="Seconds, shared out equally among the targets."
)
@scheduler_option
@workers_option("none are started: all runs in this process")
@click.option("--json", "json_file", type=OutputFile(), help="Write the result here.")
def command(
    groups: tuple[str, ...],
    examples: int,
    seed: int | None,
    names: tuple[str, ...],
    time_limit: float | None,
    scheduler: str | None,
    workers: int | None,
    json_file: Path | None,
) -> None:
    """Search formats, kernels and sessions (default: all three) for inputs that break their contracts.

    Failures of earlier runs are tried first.  Exit code 1: an implementation broke a contract, or a known
    defect is gone, or shows in a build that should not have it.  4: the time was out before all had their
    turn, a target lost its workers, or nothing ran.
    """
    settings = read_settings()
    groups = groups or GROUPS
    seed = settings.seed if seed is None else seed
    implementations, missing = _implementations(groups, names, settings)
    try:
        report = _run(
            scheduler,
            workers,
            groups,
            implementations,
            examples=examples,
            seed=seed,
            time_limit=time_limit,
            database=settings.cache_dir / "fuzz" / "failures",
            progress=_show_progress,
        )
        if json_file is not None:
            write_json(json_file, _as_dict(report, missing, seed))
        _print(report, missing, settings.cache_dir / "fuzz" / "counterexamples")
    finally:
        for implementation in implementations:
            implementation.close()
    raise SystemExit(report.exit_code)


def _run(scheduler: str | None, workers: int | None, *arguments: Any, **options: Any) -> Report:
    """The campaign: in this process, unless workers were asked for."""
    if scheduler is None and workers is None:
        return run_campaign(*arguments, **options)
    with open_cluster(scheduler, workers or 1) as client:
        return run_campaign_on(client, *arguments, **options)


def _implementations(
    groups: tuple[str, ...], names: tuple[str, ...], settings: Settings
) -> tuple[list[Implementation], list[str]]:
    found: list[Implementation] = []
    missing: list[str] = []
    if {"formats", "kernels"} & set(groups):
        found, missing = find_implementations(settings)
    if "sessions" in groups:
        found += engines(settings)
    for name in names:
        pick(found, name)
    wanted = [i for i in found if not names or i.name in names]
    for implementation in found:
        if implementation not in wanted:
            implementation.close()
    return wanted, missing


def _show_progress(done: int, total: int, target: Any) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{done + 1}/{total} {target.name}", nl=False, err=True)


def _print(report: Report, missing: list[str], folder: Path) -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    for reason in missing:
        click.echo(f"not tested: {reason}")
    for known in report.known:
        defect = known.defect
        what = f"{defect.implementation}: {defect.contract}[{defect.weight_format}]"
        why = f": {defect.explanation}" if known.is_due or known.message else ""
        click.echo(f"{_state(known)}: {what}{why}")
    for outcome in report.broken:
        assert outcome.counterexample is not None
        path = save_snippet(outcome.counterexample, folder)
        click.echo(f"\nBROKEN: {outcome.target.name}\n\n{snippet(outcome.counterexample)}\nsaved as {path}")
    for target, why in report.lost:
        click.echo(f"not searched: {target.name}: {why}")
    if report.skipped:
        click.echo(
            f"time is out: {len(report.skipped)} targets were not begun, from {report.skipped[0].name} on"
        )
    examples = sum(outcome.examples for outcome in report.outcomes)
    click.echo(
        f"{len(report.outcomes)} targets, {examples:,} examples, {len(report.broken)} broken contracts"
    )


def _state(known: KnownReport) -> str:
    where = known.defect.builds.words
    if known.is_due:
        return "known" if known.message else "GONE, remove it from known_defects.py"
    if known.message:
        return f"FOUND in a build that should not have it ({where}), correct known_defects.py"
    return f"known, not in this build ({where})"


def _as_dict(report: Report, missing: list[str], seed: int) -> dict[str, Any]:
    return {
        "exit_code": report.exit_code,
        "seed": seed,
        "not_tested": missing,
        "skipped": [target.name for target in report.skipped],
        "lost": [{"target": target.name, "why": why} for target, why in report.lost],
        "known": [
            {
                "implementation": known.defect.implementation,
                "contract": known.defect.contract,
                "format": known.defect.weight_format,
                "builds": known.defect.builds.words,
                "is_due": known.is_due,
                "reproduces": known.message is not None,
                "trained": known.defect.trained,
            }
            for known in report.known
        ],
        "outcomes": [
            {
                "implementation": outcome.target.implementation.name,
                "contract": outcome.target.contract.name,
                "format": outcome.target.weight_format,
                "examples": outcome.examples,
                "case": repr(outcome.counterexample.case) if outcome.counterexample else None,
                "message": outcome.counterexample.message if outcome.counterexample else None,
            }
            for outcome in report.outcomes
        ],
    }
