"""bitnet.cpp's own Python converter, as it lies in BITNET_CPP_DIR: the functions that pack TL1 and TL2.

The script imports torch and more; only the packing functions are taken from it, unchanged, and run in a
worker.
"""

from __future__ import annotations

import ast
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import FORMATS
from bitparity.formats.base import Bytes, Floats
from bitparity.formats.table_lookup import Tilings
from bitparity.fuzz.cases import TILINGS

SCRIPT = "utils/convert-hf-to-gguf-bitnet.py"
CONFIG = "include/kernel_config.ini"  # where the converter looks for tilings, from its working folder


class Converter:
    """Lives in a worker process, whose working folder it changes."""

    def __init__(self, script: Path, tilings: dict[str, Tilings] | None = None) -> None:
        self._functions, self._tilings = _functions_of(script), tilings or TILINGS
        self._folder = tempfile.TemporaryDirectory()
        os.chdir(self._folder.name)
        Path(CONFIG).parent.mkdir()
        self._configured = ""

    def close(self) -> None:
        self._folder.cleanup()

    def pack(self, name: str, values: Floats, placement: object = None) -> Bytes:
        """What the converter writes, then the scale where the loader finds it: at the next multiple of 32."""
        self._configure(name)
        packed, scale = self._functions[f"transform_to_{name.lower()}"](values)
        data: NDArray[np.uint8] = packed.reshape(-1)
        start = -(-data.size // 32) * 32
        whole = np.zeros(start + FORMATS[name].tail_bytes, dtype=np.uint8)
        whole[: data.size] = data
        whole[start : start + 4] = np.array([scale], dtype="<f4").view(np.uint8)
        return whole

    def _configure(self, name: str) -> None:
        if self._configured == name:
            return
        sections = [
            f"[Kernels_{i}]\nm = {rows}\nk = {cols}\nbm = {t.rows}\nbk = {t.cols}\nbmm = {t.step}\n"
            for i, ((rows, cols), t) in enumerate(self._tilings[name].items())
        ]
        Path(CONFIG).write_text("\n".join(sections))
        self._configured = name


def _functions_of(script: Path) -> dict[str, Any]:
    """The top-level functions of the script that have to do with TL1 and TL2."""
    tree = ast.parse(script.read_text())
    wanted = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and "tl" in node.name.split("_")[-1]
    ]
    names: dict[str, Any] = {"np": np, "Tuple": tuple}
    exec(compile(ast.Module(body=list(wanted), type_ignores=[]), str(script), "exec"), names)
    return names
