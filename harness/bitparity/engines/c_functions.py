"""The functions of engine.h, called by ctypes.  It runs inside a worker process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.engine import Floats, ModelInfo
from bitparity.engines.forward import ForwardSession
from bitparity.engines.loaded import digests, loaded_libraries
from bitparity.errors import BadInput, EngineFailed
from bitparity.stage_map import StageMap
from bitparity.worker.shared_memory import new_memory

VERSION = 1  # BITPARITY_ENGINE_VERSION of the engine.h beside this package
_ERROR_SIZE = 1024
_UNWRITTEN = 0x7FC0B17A  # bits of a NaN that no arithmetic makes
_IDS, _LOGITS = POINTER(c_int32), POINTER(c_float)
_TAP = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_int32, c_int32, c_int32, c_int64, _LOGITS)
_REQUIRED = ("open", "n_vocab", "close")
# name without bitparity_ -> what it returns, what it takes
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "open": (c_void_p, [c_char_p, c_int32, c_int32, c_int32, c_char_p, c_size_t]),
    "n_vocab": (c_int32, [c_void_p]),
    "forward": (c_int32, [c_void_p, _IDS, c_int32, c_int32, _LOGITS]),
    "forward_last": (c_int32, [c_void_p, _IDS, c_int32, c_int32, _LOGITS]),
    "close": (None, [c_void_p]),
    "version": (c_uint32, []),
    "error": (c_char_p, [c_void_p]),
    "about": (c_char_p, [c_void_p]),
    "tokenize": (c_int32, [c_void_p, c_char_p, c_int32, c_int32, c_int32, _IDS, c_int32]),
    "detokenize": (c_int32, [c_void_p, _IDS, c_int32, c_char_p, c_int32]),
    "tap": (None, [c_void_p, _TAP, c_void_p]),
}
Functions = dict[str, Callable[..., Any]]


def open_library(
    library: Path,
    model: Path,
    *,
    context: int,
    threads: int,
    device: int,
    info: ModelInfo,
    stage_map: StageMap,
) -> ForwardSession:
    """Load the library and open a model with it; called in the worker.

    The fingerprint of the session has the digests of all libraries that came with this one.

    Raises BadInput for what is no such library, and with the library's own reason when it opens no session.
    """
    before = loaded_libraries()
    functions = load_functions(library)
    name, error = info.fingerprint.engine, ctypes.create_string_buffer(_ERROR_SIZE)
    handle = functions["open"](os.fsencode(model), context, threads, device, error, _ERROR_SIZE)
    if not handle:
        reason = error.value.decode(errors="replace").strip() or "it gives no reason"
        raise BadInput(f"{name} cannot open {model}: {reason}")
    computing = digests({library} | (loaded_libraries() - before))
    fingerprint = replace(info.fingerprint, details={"libraries": computing})
    return ForwardSession(
        _CSession(name, functions, handle), replace(info, fingerprint=fingerprint), stage_map
    )


def load_functions(library: Path) -> Functions:
    """What the library exports of engine.h, by names without bitparity_; BadInput says what is missing."""
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as error:
        raise BadInput(f"{library} cannot be loaded: {str(error).removeprefix(f'{library}: ')}") from None
    functions: Functions = {}
    for name, (returns, takes) in _FUNCTIONS.items():
        function = getattr(loaded, f"bitparity_{name}", None)
        if function is not None:
            function.restype, function.argtypes = returns, takes
            functions[name] = function
    missing = [name for name in _REQUIRED if name not in functions]
    if not {"forward", "forward_last"} & set(functions):
        missing.append("forward")
    if missing:
        names = ", ".join(f"bitparity_{name}" for name in missing)
        raise BadInput(f"{library} does not export {names}; bitparity/engine.h says what an engine has")
    if (version := functions["version"]() if "version" in functions else VERSION) > VERSION:
        raise BadInput(f"{library} was written for version {version} of engine.h; here is version {VERSION}")
    return functions


class _CSession:
    """A `bitparity.engines.forward.Forward` over the functions; what the library lacks is None here."""

    def __init__(self, name: str, functions: Functions, handle: int) -> None:
        self._name, self._functions, self._handle = name, functions, handle
        self.n_vocab: int = functions["n_vocab"](handle)
        if self.n_vocab < 1:
            raise EngineFailed(name, f"says that its vocabulary has {self.n_vocab} tokens")
        for method in ("forward", "forward_last", "about", "tokenize", "detokenize", "tap"):
            setattr(self, method, getattr(self, f"_{method}") if method in functions else None)

    def close(self) -> None:
        self._functions["close"](self._handle)

    def _about(self) -> dict[str, str]:
        said: bytes = self._functions["about"](self._handle) or b""
        pairs = (line.partition("=") for line in said.decode(errors="replace").splitlines() if "=" in line)
        return {key.strip(): value.strip() for key, _, value in pairs}

    def _forward(self, ids: Sequence[int], position: int) -> Floats:
        return self._rows("forward", ids, position, len(ids))

    def _forward_last(self, ids: Sequence[int], position: int) -> Floats:
        return self._rows("forward_last", ids, position, 1)

    def _rows(self, function: str, ids: Sequence[int], position: int, rows: int) -> Floats:
        memory = new_memory(4 * rows * self.n_vocab)
        logits = np.ndarray((rows, self.n_vocab), np.float32, buffer=memory)
        ends = logits.view(np.uint32)[:, :: max(1, self.n_vocab - 1)]  # the first and the last of each row
        ends[:] = _UNWRITTEN
        array, pointer = _ids(ids), logits.ctypes.data_as(_LOGITS)
        code = self._functions[function](self._handle, array, len(ids), position, pointer)
        if code != 0:
            raise EngineFailed(self._name, f"failed with code {code} at position {position}", self._error())
        self._check_written(np.all(ends == _UNWRITTEN, axis=1))
        return logits

    def _check_written(self, unwritten: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        if not unwritten.any():
            return
        rows = len(unwritten)
        how = f"wrote the logits of {rows - int(unwritten.sum())} of {rows} positions"
        only_one = rows > 1 and int(unwritten.sum()) == rows - 1
        advice = "; an engine that has one row only exports bitparity_forward_last" if only_one else ""
        raise EngineFailed(self._name, how + advice)

    def _error(self) -> str:
        said = self._functions["error"](self._handle) if "error" in self._functions else b""
        return " | ".join((said or b"").decode(errors="replace").splitlines())

    def _tokenize(self, text: str, add_bos: bool, parse_special: bool) -> list[int]:
        data = text.encode()
        capacity = len(data) + 8  # a token stands for a byte or more, except BOS and the like
        for _ in range(2):
            ids = (c_int32 * capacity)()
            n = self._functions["tokenize"](
                self._handle, data, len(data), add_bos, parse_special, ids, capacity
            )
            if n <= capacity:
                break
            capacity = n
        self._check_count("tokenize", n, capacity)
        return list(ids[:n])

    def _detokenize(self, ids: Sequence[int]) -> str:
        capacity = 16 * len(ids) + 16
        for _ in range(2):
            text = ctypes.create_string_buffer(capacity)
            n = self._functions["detokenize"](self._handle, _ids(ids), len(ids), text, capacity)
            if n <= capacity:
                break
            capacity = n
        self._check_count("detokenize", n, capacity)
        return text.raw[:n].decode(errors="replace")

    def _check_count(self, function: str, count: int, capacity: int) -> None:
        if not 0 <= count <= capacity:
            raise EngineFailed(self._name, f"returned {count} from bitparity_{function}", self._error())

    def _tap(self, hear: Callable[[str, int, int, Floats], None] | None) -> None:
        if hear is None:
            self._functions["tap"](self._handle, _TAP(), None)
            return

        def heard(
            user: None, stage: bytes, layer: int, position: int, n: int, width: int, values: Any
        ) -> None:
            rows = np.ctypeslib.as_array(values, (n, width)).copy()
            hear(stage.decode(errors="replace"), layer, position, rows)

        self._heard = _TAP(heard)  # the library keeps the pointer, so somebody must keep what it points to
        self._functions["tap"](self._handle, self._heard, None)


def _ids(ids: Sequence[int]) -> Any:
    return (c_int32 * len(ids))(*ids)
