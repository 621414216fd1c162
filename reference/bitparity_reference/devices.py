"""The devices that a reference's library can offload to, as the library itself lists them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bitparity.engine import Device
from bitparity.errors import BadInput, EngineFailed
from bitparity_reference.build import MODULE

_LIST = f"""
import json, sys
sys.path.insert(0, sys.argv[1])
import {MODULE}
{MODULE}.quiet_log()
print(json.dumps({MODULE}.devices()))
"""
_SECONDS = 60  # a driver may take some to start


def list_devices(engine: str, bridge: Path) -> list[Device]:
    """Ask the compiled bridge in that folder, in a process of its own.  Raises EngineFailed when it dies."""
    command = [sys.executable, "-c", _LIST, str(bridge)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise EngineFailed(engine, f"did not list its devices within {_SECONDS} seconds") from None
    if done.returncode != 0:
        raise EngineFailed(engine, f"died while it listed its devices: {done.stderr.strip()[-300:]}")
    return devices_of(json.loads(done.stdout.splitlines()[-1]))


def devices_of(rows: Iterable[tuple[str, str, int]]) -> list[Device]:
    """From what the bridge says."""
    return [Device(*row) for row in rows]


def device_number(engine: str, devices: Sequence[Device], device_id: int | None) -> int:
    """What the bridge takes, -1 for the CPU; BadInput, with those that there are, for no device."""
    if device_id is None:
        return -1
    if 0 <= device_id < len(devices):
        return device_id
    there = ", ".join(f"{number} ({device.description})" for number, device in enumerate(devices))
    known = f"it has {there}" if devices else "its build found none and runs on the CPU"
    raise BadInput(f"{engine} has no device {device_id}; {known}")
