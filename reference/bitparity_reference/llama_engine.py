"""What both references have in common: an engine that opens sessions through the bridge, each in a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from bitparity.architectures.ggml_nodes import NodeTable
from bitparity.engine import Availability, Device, Fingerprint, ModelInfo, Role
from bitparity.errors import BadInput, BitparityError, EngineUnavailable
from bitparity.formats import formats_run_by
from bitparity.model import open_model
from bitparity.noise.perturb import STEPS
from bitparity.settings import read_settings
from bitparity.worker.session import WorkerSession
from bitparity.worker.worker import TIME_LIMIT
from bitparity_reference.build import bridge_dir, build_bridge, compiler_version, find_compiler
from bitparity_reference.build_facts import BuildFacts, facts_of
from bitparity_reference.devices import list_devices
from bitparity_reference.discover import Library
from bitparity_reference.implementations import i2_s_layout_of
from bitparity_reference.nodes import graphs_of
from bitparity_reference.probes import activation_computed
from bitparity_reference.session import open_bridge
from bitparity_reference.table_lookup import shape_without_kernel


class LlamaEngine(ABC):
    """An engine whose library is a llama.cpp of either generation.

    time_limit  seconds of silence after which a worker counts as hung
    rounding    as in open_bridge
    """

    name: str
    role: Role = "reference"

    def __init__(self, time_limit: float = TIME_LIMIT, rounding: tuple[int, int] | None = None) -> None:
        self._time_limit = time_limit
        self._rounding = rounding

    def with_time_limit(self, seconds: float) -> LlamaEngine:
        """As bitparity.engine.TimeLimited says."""
        return type(self)(time_limit=seconds)

    @abstractmethod
    def find(self) -> Library:
        """The library to run; EngineUnavailable says what to type."""

    def perturbed(self, seed: int) -> Self:
        """As bitparity.engine.Perturbable says."""
        return type(self)(self._time_limit, (seed, STEPS))

    def availability(self) -> Availability:
        try:
            library = self.find()
            bridge = bridge_dir(library, read_settings().cache_dir)
        except EngineUnavailable as error:
            problem, _, advice = str(error).rpartition("; ")
            return Availability(False, problem, advice)
        state = "compiled" if bridge.is_dir() else "will be compiled when first used"
        details = {
            "built by": library.compiler,
            **library.details,
            **facts_of(library).described,
            "libraries": library.digest[:16],
            "bridge": f"{state}, by {compiler_version(find_compiler())}",
        }
        return Availability(True, f"{library.version} in {library.root}", details=details)

    def examined(self) -> dict[str, str]:
        """For `doctor`: what the build does when it is run; takes seconds."""
        try:
            library = self.find()
            bitnets = [arch for arch in facts_of(library).architectures if arch.startswith("bitnet")]
            functions = {arch: activation_computed(arch, self._open_briefly) for arch in bitnets}
            found = {"activation": ", ".join(f"{arch} {name}" for arch, name in functions.items())}
            layout = i2_s_layout_of(library)
        except BitparityError as error:
            return {"not examined": str(error)}
        return found | ({"I2_S layout": layout} if layout else {})

    def _open_briefly(self, path: Path) -> WorkerSession:
        return self.open(path, context=64, threads=1)

    def devices(self) -> list[Device] | None:
        """As bitparity.engine.HasDevices says: known once the bridge is compiled, at the first use."""
        bridge = bridge_dir(self.find(), read_settings().cache_dir)
        return list_devices(self.name, bridge) if bridge.is_dir() else None

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        if arch not in self.graphs:
            return f"{self.name} runs {', '.join(sorted(self.graphs))}, not {arch}"
        if strange := weight_formats - self.weight_formats:
            return f"{self.name} does not run weights in {', '.join(sorted(strange))}"
        return None

    @property
    def graphs(self) -> dict[str, NodeTable]:
        """Architecture -> stages of its graph: of the build that is here, else of the usual builds."""
        facts = self._facts()
        return graphs_of(self.name) if facts is None else facts.graphs

    @property
    def weight_formats(self) -> frozenset[str]:
        """Those that the build runs that is here, else those of the engine's usual builds."""
        facts = self._facts()
        return formats_run_by(self.name) if facts is None else facts.weight_formats

    def _facts(self) -> BuildFacts | None:
        try:
            return facts_of(self.find())
        except EngineUnavailable:
            return None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> WorkerSession:
        if context < 1 or threads < 1:
            raise BadInput(
                f"a session needs a context and threads of at least 1, not {context} and {threads}"
            )
        library, opened = self.find(), open_model(model)
        info = ModelInfo.of(opened, context, self.fingerprint(library, threads))
        if reason := self.refusal(info.arch, set(info.weight_formats)) or shape_without_kernel(
            library, opened
        ):
            raise BadInput(f"{model}: {reason}")
        arguments = {
            "bridge": build_bridge(library, read_settings().cache_dir),
            "model": model,
            "context": context,
            "threads": threads,
            "info": info,
            "nodes": self.graphs[info.arch],
            "rounding": self._rounding,
            "device_id": device_id,
        }
        return WorkerSession(self.name, open_bridge, arguments, time_limit=self._time_limit)

    def fingerprint(self, library: Library, threads: int) -> Fingerprint:
        """What is known before a session is open; an open session adds the library's instruction sets."""
        generation = facts_of(library).generation
        details = {**library.details, "libraries": library.digest[:16], "flash_attention": "off"}
        if generation != self.name:
            details["generation"] = generation
        kernels = {"bitnet.cpp": "ggml-bitnet", "llama.cpp": "ggml-cpu"}[generation]
        return Fingerprint(self.name, library.version, library.compiler, "", kernels, threads, "f16", details)
