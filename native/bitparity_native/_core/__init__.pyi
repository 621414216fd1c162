"""The compiled core.

Arrays are C-contiguous and of the named dtype, else TypeError; sizes that do not fit raise ValueError.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from . import kernels as kernels

# Takes layer, stage, first position, and values (positions, width).
StageSink = Callable[[int, str, int, NDArray[np.float32]], None]

def compiler() -> str:
    """Name and version of the compiler that built the core."""

def embedding_formats() -> list[str]:
    """The weight formats in which embeddings may be."""

def readers_of_inner_norms() -> list[str]:
    """The stages that may take their input through a norm inside a branch."""

class RopeScaling:
    """RoPE's angles divided by a factor, or by YaRN; without arguments, as they are."""

    def __init__(self, *, yarn: bool = False, factor: float = 1.0, original_context: int = 0) -> None: ...

class HyperParameters:
    def __init__(
        self,
        *,
        n_vocab: int,
        n_layer: int,
        n_embd: int,
        n_head: int,
        n_head_kv: int,
        head_dim: int,
        n_ff: int,
        rope_dim: int,
        norm_eps: float,
        rope_base: float,
        rope_pairs: str,
        rope_scaling: RopeScaling,
        activation: str,
        scales_embeddings: bool,
        divides_queries: bool,
        sliding_window: int,
        windowed_rope_base: float,
        pools_last_token: bool,
    ) -> None: ...

class Matrix:
    """A packed matrix of a weight format; keeps `data`, (bytes,) uint8, alive."""

    def __init__(self, format: str, rows: int, cols: int, data: NDArray[np.uint8]) -> None: ...

class Layer:
    """inner_norms  (stage, the stage that it follows, weight) of the norms inside branches"""

    def __init__(
        self,
        *,
        attn_norm: NDArray[np.float32],
        q: Matrix,
        k: Matrix,
        v: Matrix,
        attn_out: Matrix,
        ffn_norm: NDArray[np.float32],
        gate: Matrix,
        up: Matrix,
        down: Matrix,
        inner_norms: list[tuple[str, str, NDArray[np.float32]]],
    ) -> None: ...

class Faults:
    """Deliberate faults, see include/bitnet/faults.hpp; the defaults are none."""

    def __init__(
        self,
        *,
        kv_head_shift: int = 0,
        stale_kv_row: int = -1,
        position_shift: int = 0,
        truncate_codes: bool = False,
    ) -> None: ...

class Arithmetic:
    """Which build of ggml to compute like; see include/bitnet/arithmetic.hpp."""

    def __init__(self, *, generation: str, order: str, compiler: str, fuses_sums: bool) -> None: ...

class Session:
    def __init__(
        self,
        *,
        hyper: HyperParameters,
        token_embd: Matrix,
        head: Matrix,
        output_norm: NDArray[np.float32],
        rope_factors: NDArray[np.float32] | None,
        layers: list[Layer],
        context: int,
        threads: int,
        arithmetic: Arithmetic,
        kernels: str,
        faults: Faults,
    ) -> None: ...
    def run(
        self, tokens: NDArray[np.int32], only_last: bool, sink: StageSink | None = None
    ) -> NDArray[np.float32]:
        """Logits (n, n_vocab), or (1, n_vocab) with only_last; all tokens are one batch.

        The sink gets the selected stages in graph order while the call runs; what it raises is raised when
        the call is done.
        """

    def rollback(self, to: int) -> None: ...
    def select_stages(self, wanted: list[tuple[int, str]]) -> None: ...
    @property
    def position(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def kernels(self) -> str: ...
    @property
    def isa(self) -> str: ...
