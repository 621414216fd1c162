"""The references' functions as implementations under test (entry-point group bitparity.implementations)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bitparity.errors import EngineFailed, EngineUnavailable
from bitparity.fuzz.cases import TILINGS
from bitparity.fuzz.implementations import Function, Implementation, Operation
from bitparity.settings import Settings
from bitparity.worker.worker import Worker
from bitparity_reference.converters import SCRIPT, Converter
from bitparity_reference.discover import Library, find_bitnet_cpp, find_llama_cpp
from bitparity_reference.ggml_functions import GgmlFunctions

TIME_LIMIT = 60.0  # seconds for one call of one function


class Workshop:
    """A worker process that is started when it is first used, and again after each crash."""

    def __init__(self, name: str, make: Callable[..., Any], arguments: dict[str, Any]) -> None:
        self._name, self._make, self._arguments = name, make, arguments
        self._worker: Worker | None = None

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        if self._worker is None:
            self._worker = Worker(self._name, self._make, self._arguments, time_limit=TIME_LIMIT)
        try:
            return self._worker.call(method, *arguments, **options)
        except EngineFailed:
            self.close()
            raise

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def function(self, operation: Operation, weight_format: str) -> Function:
        def run(*arguments: Any, **options: Any) -> NDArray[Any]:
            answer: NDArray[Any] = self.call(operation, weight_format, *arguments, **options)
            return answer

        return run


def bitnet_cpp(settings: Settings) -> list[Implementation]:
    library = find_bitnet_cpp(settings.bitnet_cpp_dir)
    found = [_ggml(library)]
    if (library.root / SCRIPT).is_file():
        found.append(_converter(library.root / SCRIPT))
    return found


def llama_cpp(settings: Settings) -> list[Implementation]:
    return [_ggml(find_llama_cpp())]


def _ggml(library: Library) -> Implementation:
    workshop = Workshop(library.engine, GgmlFunctions, {"libraries": ggml_files(library)})
    functions = {(o, f): workshop.function(o, f) for o, f in workshop.call("supported")}
    return Implementation(
        library.engine,
        functions,
        in_process=False,
        writes_memory=True,
        compiler=library.compiler,
        isa=workshop.call("isa"),
        close=workshop.close,
    )


def i2_s_layout_of(library: Library) -> str | None:
    """The I2_S layout that a build writes; None for one whose ggml has no I2_S."""
    workshop = Workshop(library.engine, GgmlFunctions, {"libraries": ggml_files(library)})
    try:
        layout: str | None = workshop.call("i2_s_layout")
        return layout
    finally:
        workshop.close()


def ggml_files(library: Library) -> list[Path]:
    """The ggml libraries beside libllama, each after those that it needs."""
    folder = {file.name.split(".")[0]: file for file in library.files}
    base = [folder[name] for name in ("libggml-base",) if name in folder]
    cpu = [path for path in (file.with_name("libggml-cpu" + file.suffix) for file in base) if path.is_file()]
    last = [folder["libggml"]] if "libggml" in folder else []
    files = [*base, *cpu, *last]
    if not files:
        raise EngineUnavailable(f"{library.engine} in {library.root} has no libggml beside its libllama")
    return files


def _converter(script: Path) -> Implementation:
    workshop = Workshop("bitnet.cpp converter", Converter, {"script": script})
    functions: dict[tuple[Operation, str], Function] = {
        ("pack", name): workshop.function("pack", name) for name in TILINGS
    }
    return Implementation("bitnet.cpp converter", functions, in_process=False, close=workshop.close)
