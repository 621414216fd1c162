"""`bitparity doctor`: what was found, what is missing and what to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from bitparity.cli.output import OutputFile
from bitparity.engine import Availability, Device, Engine, Examinable, HasDevices, Role, role_of
from bitparity.errors import EngineFailed, EngineUnavailable, NotCompared
from bitparity.guard import call
from bitparity.output import write_json
from bitparity.registry import DEFAULT_CANDIDATE, engine_names, get_engine, resolve_reference
from bitparity.runs import availability_of
from bitparity.settings import read_settings


@click.command("doctor")
@click.option("--json", "json_file", type=OutputFile(), help="Write it all here as JSON.")
def command(json_file: Path | None) -> None:
    """Say of every engine whether it was found, what it is or what to type, and what `compare` would use.

    Exit 0 when at least one reference can run, else 4.
    """
    looked = {name: _look_for(name) for name in engine_names()}
    engines = {name: availability for name, (_, availability) in looked.items()}
    reference = resolve_reference("auto", bitnet_cpp_is_set=read_settings().bitnet_cpp_dir is not None)
    references = [name for name, (role, engine) in looked.items() if role == "reference" and engine.found]
    if json_file is not None:
        document = {
            "engines": {name: asdict(engine) for name, engine in engines.items()},
            "compare": {"reference": reference, "candidate": DEFAULT_CANDIDATE},
            "references_found": references,
            "exit_code": 0 if references else NotCompared.exit_code,
        }
        write_json(json_file, document)
    for name, engine in engines.items():
        click.echo("\n".join(_lines(name, engine)))
    click.echo(f"\n{_conclusion(reference, engines)}")
    if not references:
        raise NotCompared("no reference can run, so nothing can be compared; what to type is said above")


def _look_for(name: str) -> tuple[Role | None, Availability]:
    """What the engine says of itself; an engine that cannot be imported, or raises, counts as missing."""
    try:
        engine = get_engine(name)
        found = availability_of(engine)
        if found.found and isinstance(engine, Examinable):
            found = replace(found, details=found.details | call(name, engine.examined))
        return role_of(engine), _with_devices(engine, found)
    except EngineUnavailable as error:
        return None, Availability(False, str(error), "install its package again")
    except EngineFailed as error:
        return None, Availability(False, str(error), "tell whoever wrote the engine")


def _with_devices(engine: Engine, available: Availability) -> Availability:
    """The same with a line about devices, of an engine that can say which there are."""
    if not available.found or not isinstance(engine, HasDevices):
        return available
    try:
        devices = call(engine.name, engine.devices)
    except EngineFailed as error:
        said = str(error)
    else:
        said = "known once the bridge is compiled" if devices is None else _listed(devices)
    return replace(available, details=available.details | {"devices": said})


def _listed(devices: Sequence[Device]) -> str:
    lines = (
        f"{number}: {device.description} ({device.name}, {device.memory / 2**30:.0f} GiB)"
        for number, device in enumerate(devices)
    )
    return ", ".join(lines) or "none, it runs on the CPU"


def _lines(name: str, engine: Availability) -> list[str]:
    lines = [f"{name:12} {'found' if engine.found else 'missing':8} {engine.what}"]
    if engine.advice:
        lines.append(f"{'':12} {'':8} -> {engine.advice}")
    return lines + [f"{'':12} {'':8} {key}: {value}" for key, value in engine.details.items()]


def _conclusion(reference: str, engines: Mapping[str, Availability]) -> str:
    for role, name in (("reference", reference), ("candidate", DEFAULT_CANDIDATE)):
        if name not in engines or not engines[name].found:
            return f"`bitparity compare` would take {name} as its {role}, which is missing"
    return f"`bitparity compare` would compare {DEFAULT_CANDIDATE} with {reference}"
