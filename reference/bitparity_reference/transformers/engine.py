"""transformers as an engine.  Neither it nor torch is imported here: sessions live in worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import cast

from packaging.requirements import Requirement

from bitparity.architectures import ARCHITECTURES
from bitparity.engine import Availability, Device, Fingerprint, ModelInfo, Role
from bitparity.errors import BadInput
from bitparity.formats import FORMATS
from bitparity.model import open_model
from bitparity.worker.session import WorkerSession
from bitparity.worker.worker import TIME_LIMIT, Worker
from bitparity_reference.transformers.devices import CudaDevices
from bitparity_reference.transformers.session import open_transformers

_PACKAGES = ("torch", "transformers")
_ADVICE = "pip install 'bitparity[transformers]', with torch for the CPU or for CUDA as pytorch.org says"


class TransformersEngine:
    """Opens models in transformers, in float32.

    time_limit  seconds of silence after which a worker counts as hung
    seed        of the moves of all norms' outputs; None leaves them
    """

    name = "transformers"
    role: Role = "reference"
    reads_checkpoints = True
    is_made_for_checkpoints = True

    def __init__(self, time_limit: float = TIME_LIMIT, seed: int | None = None) -> None:
        self._time_limit, self._seed = time_limit, seed

    def with_time_limit(self, seconds: float) -> TransformersEngine:
        """As bitparity.engine.TimeLimited says."""
        return TransformersEngine(seconds, self._seed)

    def perturbed(self, seed: int) -> TransformersEngine:
        """As bitparity.engine.Perturbable says."""
        return TransformersEngine(self._time_limit, seed)

    def availability(self) -> Availability:
        versions = {package: _version(package) for package in _PACKAGES}
        missing = [package for package, found in versions.items() if found is None]
        if missing:
            return Availability(False, _missing(missing), _ADVICE)
        if (too_old := _too_old(versions)) is not None:
            return Availability(False, too_old, _ADVICE)
        return Availability(True, ", ".join(f"{name} {found}" for name, found in versions.items()))

    def devices(self) -> list[Device]:
        """As bitparity.engine.HasDevices says; imports torch in a process of its own."""
        worker = Worker(self.name, CudaDevices, {}, time_limit=self._time_limit)
        try:
            return cast(list[Device], worker.call("listed"))
        finally:
            worker.close()

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        if arch not in ARCHITECTURES:
            return f"{self.name} is given {', '.join(ARCHITECTURES)}, not {arch}"
        unknown = sorted(weight_formats.difference(FORMATS))
        return f"the harness does not unpack {', '.join(unknown)}" if unknown else None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> WorkerSession:
        if context < 1 or threads < 1:
            raise BadInput(
                f"a session needs a context and threads of at least 1, not {context} and {threads}"
            )
        opened = open_model(model)
        if reason := self.refusal(opened.hyper.arch, set(opened.format_counts())):
            raise BadInput(f"{model}: {reason}")
        info = ModelInfo.of(opened, context, self._fingerprint(threads))
        arguments = {
            "model": model,
            "threads": threads,
            "info": info,
            "device_id": device_id,
            "seed": self._seed,
        }
        return WorkerSession(self.name, open_transformers, arguments, time_limit=self._time_limit)

    def _fingerprint(self, threads: int) -> Fingerprint:
        """What is known before a session is open."""
        return Fingerprint(self.name, _version("transformers") or "", "", "", "eager", threads, "f32")


def _missing(packages: list[str]) -> str:
    return f"{' and '.join(packages)} {'is' if len(packages) == 1 else 'are'} not installed"


def _too_old(versions: Mapping[str, str | None]) -> str | None:
    """What is installed and is not what the extra of bitparity asks for: it may not understand its calls."""
    for line in requires("bitparity") or ():
        asked = Requirement(line)
        found = versions.get(asked.name)
        if found is not None and not asked.specifier.contains(found, prereleases=True):
            return f"{asked.name} {found} is installed, where {asked.specifier} is needed"
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
