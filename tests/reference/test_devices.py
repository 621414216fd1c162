"""Devices of a reference: listed by its own library, refused with the list, told by doctor."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bitparity.cli.doctor import command
from bitparity.engine import Device
from bitparity.errors import BadInput, EngineFailed
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.devices import device_number, list_devices
from bitparity_reference.llama_cpp import LlamaCppEngine

TWO = [Device("CUDA0", "NVIDIA H100", 80 << 30), Device("CUDA1", "NVIDIA L4", 24 << 30)]


def test_devices_are_counted_as_the_library_lists_them() -> None:
    assert [device_number("llama.cpp", TWO, number) for number in (None, 0, 1)] == [-1, 0, 1]
    with pytest.raises(
        BadInput, match=r"llama.cpp has no device 2; it has 0 \(NVIDIA H100\), 1 \(NVIDIA L4\)"
    ):
        device_number("llama.cpp", TWO, 2)
    with pytest.raises(BadInput, match="has no device -1"):
        device_number("llama.cpp", TWO, -1)


def test_doctor_lists_devices(llama_cpp: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As real as the machine has them, then two that it has not."""
    devices = llama_cpp.devices()
    if devices == []:
        assert "devices: none, it runs on the CPU" in CliRunner().invoke(command).output
    monkeypatch.setattr(LlamaCppEngine, "devices", lambda self: TWO)
    said = CliRunner().invoke(command).output
    assert "devices: 0: NVIDIA H100 (CUDA0, 80 GiB), 1: NVIDIA L4 (CUDA1, 24 GiB)" in said


def test_bitnet_cpp_lists_its_devices_too(bitnet_cpp: BitnetCppEngine) -> None:
    assert all(isinstance(device, Device) for device in bitnet_cpp.devices() or ())


def test_library_that_dies_while_it_lists_devices_is_named(tmp_path: Path) -> None:
    (tmp_path / "_bridge.py").write_text("raise SystemExit('no driver')")
    with pytest.raises(EngineFailed, match="no driver"):
        list_devices("llama.cpp", tmp_path)
