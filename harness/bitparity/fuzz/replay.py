"""One case again: what a printed counterexample calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitparity.errors import BadInput
from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.implementations import find_implementations, pick
from bitparity.fuzz.runner import Counterexample, Target
from bitparity.fuzz.sessions import engines
from bitparity.settings import read_settings


def replay(*, implementation: str, contract: str, weight_format: str, case: Any) -> None:
    """Return if the implementation keeps the contract; else raise what it raises, or Violation."""
    if contract not in CONTRACTS:
        raise BadInput(f"no contract is named {contract!r}; there are {', '.join(CONTRACTS)}")
    settings = read_settings()
    wanted = CONTRACTS[contract]
    found = engines(settings) if wanted.group == "sessions" else find_implementations(settings)[0]
    subject = pick(found, implementation)
    try:
        wanted.check(case, weight_format, subject)
    finally:
        for each in found:
            each.close()


def snippet(found: Counterexample) -> str:
    """A Python program that repeats the counterexample."""
    target = found.target
    message = "\n".join(f"# {line}" for line in found.message.splitlines())
    return (
        f"# {target.name}\n"
        f"# contract: {target.contract.words}\n"
        f"{message}\n"
        f"from {type(found.case).__module__} import {type(found.case).__name__}\n"
        "from bitparity.fuzz.replay import replay\n\n"
        "replay(\n"
        f"    implementation={target.implementation.name!r},\n"
        f"    contract={target.contract.name!r},\n"
        f"    weight_format={target.weight_format!r},\n"
        f"    case={found.case!r},\n"
        ")\n"
    )


def save_snippet(found: Counterexample, folder: Path) -> Path:
    """Write the snippet to a file named after its target."""
    folder.mkdir(parents=True, exist_ok=True)
    target: Target = found.target
    parts = (target.implementation.name, target.contract.name, target.weight_format)
    path = folder / ("-".join(parts).replace("/", "_").replace(" ", "_") + ".py")
    path.write_text(snippet(found))
    return path
