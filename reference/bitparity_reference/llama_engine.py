"""What both references have in common: an engine that opens sessions through the bridge, each in a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from bitparity.engine import Availability, Fingerprint, ModelInfo, Role
from bitparity.errors import BadInput, EngineUnavailable
from bitparity.settings import read_settings
from bitparity_reference.build import bridge_dir, build_bridge, compiler_version, find_compiler
from bitparity_reference.discover import Library
from bitparity_reference.loaded_model import LoadedModel
from bitparity_reference.nodes import NodeTable
from bitparity_reference.worker import TIME_LIMIT, WorkerSession
from bitparity_reference.worker_process import WorkerProcess

if TYPE_CHECKING:
    from bitparity.model.types import Model


class LlamaEngine(ABC):
    """An engine whose library is a llama.cpp of either generation.

    time_limit  seconds of silence after which a worker counts as hung
    """

    name: str
    role: Role = "reference"
    kernels: str
    graphs: dict[str, NodeTable]  # architecture -> stages of its graph
    weight_formats: frozenset[str]

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._started: tuple[WorkerProcess, Path | None] | None = None  # with the model that it loads

    @abstractmethod
    def find(self) -> Library:
        """The library to run; EngineUnavailable says what to type."""

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
            "libraries": library.digest[:16],
            "bridge": f"{state}, by {compiler_version(find_compiler())}",
        }
        return Availability(True, f"{library.version} in {library.root}", details=details)

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        if arch not in self.graphs:
            return f"{self.name} runs {', '.join(sorted(self.graphs))}, not {arch}"
        if strange := weight_formats - self.weight_formats:
            return f"{self.name} does not run weights in {', '.join(sorted(strange))}"
        return None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> WorkerSession:
        return self.begin(model, context=context, threads=threads, device_id=device_id).wait()

    def start(self, model: Path | None) -> None:
        """As bitparity.engine.OpensAside says; a bridge that is not compiled yet is left to `begin`."""
        if self._started is not None:
            return
        process = WorkerProcess()
        if model is not None and (bridge := self._compiled_bridge()):
            process.prepare(LoadedModel, bridge=bridge, path=model, engine=self.name)
            self._started = process, model
        else:
            self._started = process, None

    def begin(
        self, model: Path, *, context: int, threads: int, device_id: int | None = None
    ) -> WorkerSession:
        """As bitparity.engine.OpensAside says; a library, model or device that is wrong is told at once."""
        from bitparity.model import open_model  # here, for `start` comes first and need not wait for it
        from bitparity_reference.session import open_bridge

        if device_id is not None:
            raise BadInput(f"{self.name} runs on the CPU here; it has no device {device_id}")
        if context < 1 or threads < 1:
            raise BadInput(
                f"a session needs a context and threads of at least 1, not {context} and {threads}"
            )
        library = self.find()
        info = self.describe(library, open_model(model), context, threads)
        if reason := self.refusal(info.arch, set(info.weight_formats)):
            raise BadInput(f"{model}: {reason}")
        process = self._process_that_loads(model, build_bridge(library, read_settings().cache_dir))
        arguments = {"context": context, "threads": threads, "info": info, "nodes": self.graphs[info.arch]}
        return WorkerSession(self.name, open_bridge, arguments, process=process, time_limit=self._time_limit)

    def _process_that_loads(self, model: Path, bridge: Path) -> WorkerProcess:
        """The one that was started, if it loads this model or none; else another."""
        process, loads = self._started or (WorkerProcess(), None)
        self._started = None
        if loads == model:
            return process
        if loads is not None:
            process.close()
            process = WorkerProcess()
        process.prepare(LoadedModel, bridge=bridge, path=model, engine=self.name)
        return process

    def _compiled_bridge(self) -> Path | None:
        try:
            folder = bridge_dir(self.find(), read_settings().cache_dir)
        except EngineUnavailable:
            return None
        return folder if folder.is_dir() else None

    def fingerprint(self, library: Library, threads: int) -> Fingerprint:
        """What is known before a session is open; the library itself then tells its instruction sets."""
        details = {**library.details, "libraries": library.digest[:16], "flash_attention": "off"}
        return Fingerprint(
            self.name, library.version, library.compiler, "", self.kernels, threads, "f16", details
        )

    def describe(self, library: Library, model: Model, context: int, threads: int) -> ModelInfo:
        """What a session of this model will say of itself."""
        hyper = model.hyper
        return ModelInfo(
            arch=hyper.arch,
            n_vocab=hyper.n_vocab,
            n_layer=hyper.n_layer,
            n_embd=hyper.n_embd,
            n_head=hyper.n_head,
            n_head_kv=hyper.n_head_kv,
            n_ff=hyper.n_ff,
            context=context,
            weight_formats=model.format_counts(),
            tied_head=model.weights.head_is_tied,
            fingerprint=self.fingerprint(library, threads),
        )
