"""bitparity selftest: plant deliberate faults and see the harness find them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bitparity.cli.engine import kernels_option
from bitparity.cli.output import OutputFile
from bitparity.cli.progress import progress_bar
from bitparity.engine import Engine
from bitparity.faults.catalogue import CATALOGUE
from bitparity.faults.plant import can_be_planted, find
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.output import write_json
from bitparity.registry import configure_each, get_engine, with_every_kernel_set
from bitparity.report.selftest import print_findings


@click.command("selftest")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    default=("native", "oracle"),
    show_default=True,
    help="Engine to plant faults in; may be given several times.",
)
@kernels_option("those engines that have several; without it, every one that runs here")
@click.option("--json", "json_file", type=OutputFile(), help="Write the findings here.")
def command(engines: tuple[str, ...], kernels: str | None, json_file: Path | None) -> None:
    """Plant every fault of the catalogue and see whether blame names its layer, stage and position.

    Exits with 0 when all faults are found, 1 when one is not.
    """
    tokens = [(37 * i + 11) % 256 for i in range(12)]
    findings = []
    with tempfile.TemporaryDirectory() as folder, progress_bar("planting faults") as progress:
        path = Path(folder) / "selftest.gguf"
        make_model(path, ModelSpec(arch="bitnet-b1.58", n_layer=2, n_ff=512, n_vocab=320))
        model = open_model(path)
        cases = [
            (fault, engine)
            for engine in _subjects(engines, kernels)
            for fault in CATALOGUE
            if can_be_planted(fault, engine, model)
        ]
        for done, (fault, engine) in enumerate(cases, start=1):
            findings.append(find(fault, engine, path, tokens))
            if progress:
                progress(done, len(cases))
    if json_file is not None:
        rows = [
            {
                "fault": f.fault.name,
                "engine": f.engine,
                "kernels": f.kernels,
                "problem": f.problem,
                **f.report.as_dict(),
            }
            for f in findings
        ]
        write_json(json_file, rows)
    print_findings(findings)
    sys.exit(0 if all(f.is_found for f in findings) else 1)


def _subjects(names: Sequence[str], kernels: str | None) -> list[Engine]:
    """The engines to plant faults in, each with the kernel set that was named or every one of its own."""
    engines = configure_each([get_engine(name) for name in names], kernels=kernels)
    if kernels is not None:
        return engines
    return [each for engine in engines for each in with_every_kernel_set(engine).values()]
