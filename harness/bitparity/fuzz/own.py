"""The implementations that come with the harness: its NumPy definitions, a second set that is computed by
formulas, and the `gguf` package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import is_ternary
from bitparity.formats.base import Bytes, Floats, TernaryFormat, WeightFormat
from bitparity.fuzz.addresses import addresses_implementation
from bitparity.fuzz.cases import DEFINITIONS
from bitparity.fuzz.implementations import Function, Implementation, Operation, without_placement
from bitparity.settings import Settings


def implementations(settings: Settings) -> list[Implementation]:
    return [numpy_implementation(), addresses_implementation(), gguf_implementation()]


def numpy_implementation(definitions: dict[str, WeightFormat] | None = None) -> Implementation:
    """Our definitions; another table of them makes a mutant."""
    functions: dict[tuple[Operation, str], Function] = {}
    for name, definition in (definitions or DEFINITIONS).items():
        functions["pack", name] = without_placement(definition.pack)
        functions["unpack", name] = without_placement(definition.unpack)
        if is_ternary(definition):
            functions["multiply", name] = _multiplier(definition)
    return Implementation("numpy", functions, refuses=True)


def _multiplier(definition: TernaryFormat) -> Function:
    def multiply(
        packed: Bytes, rows: int, cols: int, x: NDArray[np.int8], placement: object = None
    ) -> NDArray[np.int64]:
        codes, _ = definition.unpack_codes(packed, rows, cols)
        product: NDArray[np.int64] = x.astype(np.int64) @ codes.T.astype(np.int64)
        return product

    return multiply


def gguf_implementation() -> Implementation:
    """What the package packs, and what it unpacks: it reads some formats that it cannot write."""
    from gguf import GGMLQuantizationType

    functions: dict[tuple[Operation, str], Function] = {}
    for name in filter(GGMLQuantizationType.__members__.__contains__, DEFINITIONS):
        definition = DEFINITIONS[name]
        zeros = np.zeros((1, definition.block), dtype=np.float32)
        pack, unpack = _gguf_pack(name), _gguf_unpack(name)
        if _is_implemented(pack, zeros):
            functions["pack", name] = pack
        if _is_implemented(unpack, definition.pack(zeros), *zeros.shape):
            functions["unpack", name] = unpack
    return Implementation("gguf", functions)


def _is_implemented(function: Function, *arguments: object) -> bool:
    try:
        function(*arguments)
    except NotImplementedError:
        return False
    return True


def _gguf_pack(name: str) -> Function:
    def pack(values: Floats, placement: object = None) -> Bytes:
        from gguf import GGMLQuantizationType, quantize

        with np.errstate(all="ignore"):
            packed = quantize(values, GGMLQuantizationType[name])
        return np.ascontiguousarray(packed).view(np.uint8).reshape(-1)

    return pack


def _gguf_unpack(name: str) -> Function:
    def unpack(packed: Bytes, rows: int, cols: int, placement: object = None) -> Floats:
        from gguf import GGMLQuantizationType, dequantize

        data = packed.view({"F16": np.float16, "F32": np.float32}.get(name, np.uint8))
        with np.errstate(all="ignore"):
            values = dequantize(data.reshape(rows, -1), GGMLQuantizationType[name])
        return np.asarray(values, dtype=np.float32).reshape(rows, cols)

    return unpack
