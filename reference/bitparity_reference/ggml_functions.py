"""bitnet.cpp's and llama.cpp's own quantizers, decoders and dot products, called one by one through ctypes.

They run in a worker process: a crash there is a finding here.  Buffers are placed, poisoned and guarded as
the fuzzer asks (bitparity.fuzz.memory).
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.q8_k import BLOCK as Q8_K_BLOCK
from bitparity.fuzz.cases import DEFINITIONS
from bitparity.fuzz.memory import PLAIN, Arena, Placement
from bitparity_reference.debuggers import keep_debuggers_away
from bitparity_reference.i2_s_layout import i2_s_operations, layout_written

# What ggml_quantize_chunk packs in every ggml.
CHUNKED = ("F32", "F16", "Q8_0", "BF16", "TQ1_0", "TQ2_0", "Q4_0", "Q4_1", "Q5_0")
# What it packs by searching a scale with float32 sums.  bitnet.cpp's is compiled for the CPU at hand, and
# fuses products and sums: now and then it finds another scale.
SEARCHED = ("Q6_K", "Q4_K", "Q3_K")
NEW = ("Q2_0", "Q1_0")  # since 2026
OF_ACTIVATIONS = {"Q8_K": "quantize_row_q8_K", "Q8_1": "quantize_row_q8_1_ref"}  # which no file has
BY_ROW = {
    **{name: f"dequantize_row_{name.lower()}" for name in NEW},
    **{name: f"dequantize_row_{name.lower()}" for name in ("Q4_0", "Q4_1", "Q5_0")},
    **{name: f"dequantize_row_{name[:-1].lower()}K" for name in SEARCHED},
    "TQ1_0": "dequantize_row_tq1_0",
    "TQ2_0": "dequantize_row_tq2_0",
    "Q8_0": "dequantize_row_q8_0",
    "Q8_K": "dequantize_row_q8_K",
    "F16": "ggml_fp16_to_fp32_row",
    "BF16": "ggml_bf16_to_fp32_row",
}
DOTS = {"TQ1_0": "ggml_vec_dot_tq1_0_q8_K", "TQ2_0": "ggml_vec_dot_tq2_0_q8_K"}
FOUR_ROWS_DOT = "_Z28ggml_vec_dot_i2_i8_s_1x4_32WiPfmPKvmS1_mi"  # C++, exported by bitnet.cpp
INSTRUCTION_SETS = ("sse3", "avx", "avx2", "f16c", "fma", "avx512", "neon", "riscv_v")  # ggml_cpu_has_*
_DOT = [c_int, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_size_t, c_int]
_MATRIX = [c_int, c_void_p, c_size_t, c_void_p, c_void_p, c_int, c_int]


class GgmlFunctions:
    """One ggml, by its libraries; symbols are looked for in all of them.  Lives in a worker process."""

    def __init__(self, libraries: list[Path]) -> None:
        keep_debuggers_away()
        self._libraries = [ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for path in libraries]
        self._prepare_half_table()

    def isa(self) -> frozenset[str]:
        """The instruction sets that the libraries say they were built for, by ggml's names."""
        return frozenset(name for name in INSTRUCTION_SETS if self._was_built_for(name))

    def i2_s_layout(self) -> str | None:
        """The layout of I2_S that its quantizer writes; None where there is none."""
        if not self._has("quantize_i2_s"):
            return None
        return layout_written(lambda values: self.pack("I2_S", values))

    def supported(self) -> list[tuple[str, str]]:
        """(operation, format) pairs that the libraries export."""
        pairs = [("pack", name) for name in CHUNKED]
        pairs += [("pack", name) for name in SEARCHED] if self._has("ggml_cpu_init") else []
        pairs += [("pack", name) for name in NEW if self._has(BY_ROW[name])]
        pairs += [("unpack", name) for name, symbol in BY_ROW.items() if self._has(symbol)]
        pairs += [("multiply", name) for name, symbol in DOTS.items() if self._has(symbol)]
        pairs += [("pack", name) for name, symbol in OF_ACTIVATIONS.items() if self._has(symbol)]
        layout = self.i2_s_layout()
        if layout is not None:
            pairs += [("pack", "I8_S"), *i2_s_operations(layout)]
        return pairs

    def pack(self, name: str, values: Floats, placement: Placement = PLAIN) -> Bytes:
        arena = Arena(placement)
        x = arena.place(values)
        rows, cols = values.shape
        if name == "I8_S":
            return self._quantize_i8_s(arena, x)
        out = arena.output(DEFINITIONS[name].size(rows, cols), np.uint8)
        if name in OF_ACTIVATIONS:
            self._function(OF_ACTIVATIONS[name], [c_void_p, c_void_p, c_int64])(_at(x), _at(out), x.size)
        else:
            chunk = self._function(
                "ggml_quantize_chunk", [c_int, c_void_p, c_void_p, *[c_int64] * 3, c_void_p]
            )
            chunk(DEFINITIONS[name].ggml_type, _at(x), _at(out), 0, rows, cols, None)
        arena.check()
        return out.copy()

    def unpack(self, name: str, packed: Bytes, rows: int, cols: int, placement: Placement = PLAIN) -> Floats:
        arena = Arena(placement)
        data, out = arena.place(packed), arena.output((rows, cols), np.float32)
        if name == "I2_S":
            scale = float(DEFINITIONS[name].scales_in(packed, rows, cols)[0])
            types = [c_void_p, c_void_p, c_int64, c_float]
            self._function("dequantize_row_i2_s", types)(_at(data), _at(out), out.size, scale)
        else:
            self._function(BY_ROW[name], [c_void_p, c_void_p, c_int64])(_at(data), _at(out), out.size)
        arena.check()
        return out.copy()

    def multiply(
        self,
        name: str,
        packed: Bytes,
        rows: int,
        cols: int,
        x: NDArray[np.int8],
        placement: Placement = PLAIN,
    ) -> NDArray[np.int64]:
        arena = Arena(placement)
        data, out = arena.place(packed), arena.output((len(x), rows), np.float32)
        if name in ("I2_S", "I2_S_ARM"):
            self._multiply_i2_s(data, arena.place(x), out, cols)
        elif name == "I2_S_X4":
            self._multiply_four_rows(data, arena.place(x), out, cols)
        else:
            self._multiply_blocks(name, data, arena.place(as_q8_k(x)), out, cols)
        arena.check()
        sums: NDArray[np.int64] = out.astype(np.int64)
        if name in DOTS:
            return sums
        sums -= x.sum(axis=1, dtype=np.int64)[:, None]  # I2_S kernels count codes as 0, 1, 2
        return sums

    def _multiply_i2_s(self, data: Bytes, x: NDArray[np.int8], out: Floats, cols: int) -> None:
        """As ggml's matmul does: fours of tokens through gemm, the rest through gemv."""
        tokens, rows = out.shape
        fours = tokens - tokens % 4 if tokens > 3 else 0
        if fours:
            gemm = self._function("ggml_gemm_i2_i8_s", _MATRIX)
            gemm(cols, _at(out), rows, _at(data), _at(x), fours, rows)
        gemv = self._function("ggml_gemv_i2_i8_s", _MATRIX)
        for token in range(fours, tokens):
            gemv(cols, _at(out[token]), rows, _at(data), _at(x[token]), 1, rows)

    def _multiply_four_rows(self, data: Bytes, x: NDArray[np.int8], out: Floats, cols: int) -> None:
        dot = self._function(FOUR_ROWS_DOT, _DOT)
        for token in range(len(x)):
            dot(cols, _at(out[token]), 0, _at(data), cols, _at(x[token]), 0, out.shape[1])

    def _multiply_blocks(self, name: str, data: Bytes, x: NDArray[Any], out: Floats, cols: int) -> None:
        dot = self._function(DOTS[name], _DOT)
        tokens, rows = out.shape
        weights = data.reshape(rows, -1)
        for token in range(tokens):
            for row in range(rows):
                dot(cols, _at(out[token, row:]), 0, _at(weights[row]), 0, _at(x[token]), 0, 1)

    def _quantize_i8_s(self, arena: Arena, x: Floats) -> Bytes:
        quantize = self._function("quantize_row_i8_s", [c_void_p, c_void_p, c_int64, c_void_p, c_void_p])
        codes = arena.output(x.shape, np.int8)
        scales, sums = arena.output(len(x), np.float32), arena.output(len(x), np.int32)
        for row in range(len(x)):
            quantize(_at(x[row]), _at(codes[row]), x.shape[1], _at(scales[row:]), _at(sums[row:]))
        arena.check()
        return np.concatenate([part.reshape(-1).view(np.uint8) for part in (codes, scales, sums)])

    def _prepare_half_table(self) -> None:
        """Old ggml converts F16 by a table that ggml_init fills; new ggml has it in the CPU backend."""
        if self._has("ggml_cpu_init"):
            self._function("ggml_cpu_init", [])()
        init = self._function("ggml_init", [_InitParameters], c_void_p)
        self._function("ggml_free", [c_void_p])(init(_InitParameters(1024, None, True)))

    def _was_built_for(self, instruction_set: str) -> bool:
        symbol = f"ggml_cpu_has_{instruction_set}"
        return self._has(symbol) and bool(self._function(symbol, [], c_int)())

    def _has(self, symbol: str) -> bool:
        return any(hasattr(library, symbol) for library in self._libraries)

    def _function(self, symbol: str, types: list[Any], result: Any = None) -> Any:
        function = next(getattr(library, symbol) for library in self._libraries if hasattr(library, symbol))
        function.argtypes, function.restype = types, result
        return function


class _InitParameters(ctypes.Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", ctypes.c_bool))


def as_q8_k(x: NDArray[np.int8]) -> NDArray[Any]:
    """Codes as Q8_K blocks with the scale 1, (tokens, cols / 256)."""
    blocks = np.empty((len(x), x.shape[1] // 256), dtype=Q8_K_BLOCK)
    blocks["d"] = 1
    blocks["codes"] = x.reshape(len(x), -1, 256)
    blocks["sums"] = x.reshape(len(x), -1, 16, 16).sum(axis=3)
    return blocks


def _at(array: NDArray[Any]) -> int:
    return array.ctypes.data
