"""libbitnet for tests, by ctypes: every function of bitnet.h with the types that the header declares."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.engine import Floats
from bitparity_native.library import PREFIX, library_path

HEADER = (PREFIX / "include" / "bitnet.h").read_text(encoding="utf-8")
_DECLARATION = re.compile(r"BITNET_EXPORT ([\w ]+\*?) (bitnet_\w+)\(([^;]*)\);")
_NUMBERS = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "bitnet_status": ctypes.c_int32,
    "bitnet_logits_of": ctypes.c_int32,
    "bitnet_special": ctypes.c_int32,
    "void": None,
}
BAD_INPUT, CLOSED, NO_DEVICE, BUSY = -1, -2, -3, -4
ALL, LAST = 0, 1


@dataclass(frozen=True)
class Function:
    """A declaration of the header; types as it spells them."""

    name: str
    result: str
    arguments: tuple[str, ...]

    @property
    def takes_handle(self) -> bool:
        return bool(self.arguments) and self.arguments[0].removeprefix("const ") in (
            "bitnet_model*",
            "bitnet_session*",
        )


def _type_of(argument: str) -> str:
    """`const int32_t* ids` -> `const int32_t*`"""
    return re.sub(r"\s*\w+$", "", " ".join(argument.split()))


def declared_functions() -> list[Function]:
    found = _DECLARATION.findall(HEADER)
    return [
        Function(name, result, () if arguments == "void" else tuple(map(_type_of, arguments.split(","))))
        for result, name, arguments in found
    ]


def _ctype(text: str) -> Any:
    if text == "const char*":
        return ctypes.c_char_p
    return ctypes.c_void_p if "*" in text or text.endswith("_function") else _NUMBERS[text]


def load_library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(library_path()))
    for function in declared_functions():
        bound = getattr(library, function.name)
        bound.restype = _ctype(function.result)
        bound.argtypes = [_ctype(argument) for argument in function.arguments]
    return library


LIB = load_library()


def last_error() -> str:
    return str(LIB.bitnet_last_error().decode())


class ModelConfig(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("device_id", ctypes.c_int32),
        ("arithmetic", ctypes.c_char_p),
        ("kernels", ctypes.c_char_p),
    )


class ModelInfo(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_int32) for name in ("n_vocab", "n_layer", "n_embd", "n_head", "n_head_kv")),
        *((name, ctypes.c_int32) for name in ("head_dim", "n_ff", "context_length", "head_is_tied")),
        *((name, ctypes.c_int64) for name in ("n_tensors", "n_parameters", "mapped_bytes", "owned_bytes")),
    )


class GenerationConfig(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("max_tokens", ctypes.c_int32),
        ("ignore_end", ctypes.c_int32),
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("top_p", ctypes.c_float),
        ("repetition_penalty", ctypes.c_float),
        ("repetition_window", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
    )


class Generated(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("token", "position", "is_end", "piece_size")),
        ("piece", ctypes.c_void_p),
        ("logits", ctypes.POINTER(ctypes.c_float)),
        ("n_vocab", ctypes.c_int32),
    )


StreamFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(Generated))
TapFunction = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int32,
    ctypes.c_int32,
    ctypes.c_int32,
    ctypes.c_int64,
    ctypes.POINTER(ctypes.c_float),
)


class BatchItem(ctypes.Structure):
    _fields_ = (
        ("session", ctypes.c_void_p),
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        *((name, ctypes.c_int32) for name in ("n", "which", "status")),
    )


class Metrics(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_int64) for name in ("prefill_tokens", "decode_tokens")),
        *((name, ctypes.c_double) for name in ("prefill_seconds", "decode_seconds")),
    )


class Memory(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_int64) for name in ("model_mapped_bytes", "model_owned_bytes")),
        *((name, ctypes.c_int64) for name in ("cache_bytes", "logits_bytes")),
    )


class SessionConfig(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_int32) for name in ("context", "threads", "keep_logits")),
    )


def ids_of(tokens: Sequence[int]) -> Any:
    return (ctypes.c_int32 * len(tokens))(*tokens)


def checked(result: Any) -> Any:
    """The result of a call that must not fail."""
    failed = result is None or result < 0
    assert not failed, last_error()
    return result


def model_info(model: int) -> ModelInfo:
    info = ModelInfo(size=ctypes.sizeof(ModelInfo))
    checked(LIB.bitnet_model_get_info(model, ctypes.byref(info)))
    return info


def load_model(path: Path, **choices: Any) -> int:
    config = ModelConfig()
    LIB.bitnet_model_config_init(ctypes.byref(config))
    for name, value in choices.items():
        setattr(config, name, value)
    return int(checked(LIB.bitnet_model_load(str(path).encode(), ctypes.byref(config))))


def open_session(model: int, **choices: Any) -> int:
    config = SessionConfig()
    LIB.bitnet_session_config_init(ctypes.byref(config))
    for name, value in choices.items():
        setattr(config, name, value)
    return int(checked(LIB.bitnet_session_open(model, ctypes.byref(config))))


def generation(**choices: Any) -> Any:
    """A reference to a configuration with these choices."""
    config = GenerationConfig()
    LIB.bitnet_generation_config_init(ctypes.byref(config))
    for name, value in choices.items():
        setattr(config, name, value)
    return ctypes.byref(config)


def logits_at(session: int, position: int, n_vocab: int) -> Floats:
    row = np.empty(n_vocab, np.float32)
    checked(LIB.bitnet_copy_logits(session, position, row.ctypes.data, n_vocab))
    return row
