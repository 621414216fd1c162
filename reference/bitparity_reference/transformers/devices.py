"""The devices on which PyTorch computes besides the CPU: those of CUDA, in its own order."""

from __future__ import annotations

from typing import Any

from bitparity.engine import Device
from bitparity_reference.devices import device_number


class CudaDevices:
    """Lives in a worker process, which imports torch."""

    def listed(self) -> list[Device]:
        import torch

        return cuda_devices(torch)

    def close(self) -> None:
        """There is nothing to release."""


def cuda_devices(torch: Any) -> list[Device]:
    """Those that the installed torch finds; none where it is built for the CPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [torch.cuda.get_device_properties(number) for number in range(count)]
    return [Device(f"CUDA{i}", device.name, device.total_memory) for i, device in enumerate(found)]


def torch_device(torch: Any, engine: str, device_id: int | None) -> str:
    """As torch writes it; BadInput, with those that there are, for no device."""
    number = device_number(engine, cuda_devices(torch), device_id)
    return "cpu" if number < 0 else f"cuda:{number}"
