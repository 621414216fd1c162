"""A model loaded by a reference's library, through the compiled bridge.  It lives in a worker process.

It imports little: loading is the first thing that a worker does.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bitparity.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "_bridge"  # as build.py compiles it


class LoadedModel:
    """The weights and the vocabulary of a file.

    bridge  folder of the compiled module
    engine  whose bridge it is, for messages
    Raises BadInput with the library's own reason.
    """

    def __init__(self, *, bridge: Path, path: Path, engine: str) -> None:
        sys.path.insert(0, str(bridge))
        self._module = import_module(MODULE)
        self._module.quiet_log()
        self._path, self._engine = path, engine
        self._model = self._tell(self._module.Model, str(path))

    def open(self, context: int, threads: int) -> Any:
        """The module's Session: one sequence of this model.  Raises as loading does."""
        return self._tell(self._module.Session, self._model, context, threads)

    def instruction_sets(self) -> str:
        """What the library finds here of what it was built for; its `AVX2 = 1 | NEON = 0` becomes `avx2`."""
        fields = self._module.system_information().replace("CPU :", "").split("|")
        pairs = (field.partition("=") for field in fields)
        return "+".join(name.strip().lower() for name, _, value in pairs if value.strip() == "1")

    def _tell(self, make: Any, *arguments: Any) -> Any:
        try:
            return make(*arguments)
        except self._module.LoadError as error:
            raise BadInput(f"{self._path}: {self._engine} cannot load it: {str(error).strip()}") from None
