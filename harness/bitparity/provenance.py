"""Where, when and by which bitparity a result was made: what a record needs to be trusted later."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")
_NAMES_OF_CPU = ("model name", "Model", "cpu model")  # x86, then ARM boards and others


@dataclass(frozen=True)
class Provenance:
    """What is true of a result besides its engines and its model.

    date     when it was finished, ISO 8601 in UTC, to the second
    host     name of the machine
    system   operating system and machine type, say "Linux-6.1 x86_64"
    cpu      as the processor calls itself
    python   version
    version  of bitparity
    commit   of bitparity's source, with "-dirty" where files of it were changed; empty where it is not known
    """

    date: str
    host: str
    system: str
    cpu: str
    python: str
    version: str
    commit: str

    @classmethod
    def now(cls) -> Provenance:
        return cls(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            system=f"{platform.system()}-{platform.release()} {platform.machine()}",
            cpu=cpu_name(),
            python=platform.python_version(),
            version=distribution("bitparity").version,
            commit=source_commit(),
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@cache
def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """What the processor calls itself; the type of the machine where the system does not tell."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = next((said[name] for name in _NAMES_OF_CPU if said.get(name)), "")
    return named or platform.processor() or platform.machine()


@cache
def source_commit() -> str:
    """The commit that this bitparity was installed from, where pip or git knows it, else empty.

    pip keeps the commit of an installation from a repository; of an editable installation, which is what
    `make` gives, git is asked.
    """
    text = distribution("bitparity").read_text("direct_url.json")
    if text is None:
        return ""
    origin = json.loads(text)
    if "vcs_info" in origin:
        return str(origin["vcs_info"].get("commit_id", ""))
    if not origin.get("dir_info", {}).get("editable"):
        return ""
    return _commit_of(Path(__file__).parent)


def _commit_of(folder: Path) -> str:
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def _git(folder: Path, *arguments: str) -> str:
    """The output of git; empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
