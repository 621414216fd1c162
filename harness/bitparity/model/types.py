"""What the harness knows of a model: its hyperparameters and where its weights lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitparity.architectures.graph import Activation, Architecture, axis_size
from bitparity.formats.base import WeightFormat
from bitparity.formats.table_lookup import Tilings
from bitparity.model.rope_scaling import RopeScaling

_BLOCKS_OF_GEMMA3_27B = 62  # which its files say by nothing else; llama.cpp src/models/gemma3.cpp
BLOCKS_A_WINDOW_PATTERN = 6  # Gemma 3: five windowed blocks, then one that sees all positions


@dataclass(frozen=True)
class HyperParameters:
    """Read from GGUF metadata; names follow llama.cpp where it has one."""

    architecture: Architecture
    n_vocab: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_ff: int
    context_length: int
    norm_eps: float
    rope_base: float
    rope_dim: int  # leading dimensions of a head that are rotated
    rope_pairs: Literal["neox", "norm"]  # (i, i + rope_dim / 2) or (2i, 2i + 1)
    activation: Activation
    rope_scaling: RopeScaling | None = None
    sliding_window: int = 0  # positions that windowed blocks see, the token's own among them; 0 for no window
    windowed_rope_base: float = 0.0  # of windowed blocks

    @property
    def arch(self) -> str:
        """The architecture's name."""
        return self.architecture.name

    def as_dict(self) -> dict[str, Any]:
        """Plain data.  Its keys must never change, because recordings hold a digest of it."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        del numbers["architecture"]
        scaling = numbers.pop("rope_scaling")
        if scaling is not None:
            numbers["rope_scaling"] = asdict(scaling)
        if not self.sliding_window:
            del numbers["sliding_window"], numbers["windowed_rope_base"]
        return numbers | {"arch": self.arch, "sub_norms": bool(self.architecture.inner_norms)}

    def size(self, axis: str) -> int:
        """Elements of an axis of a stage or a weight."""
        return axis_size(self, axis)

    @property
    def n_embd_kv(self) -> int:
        return self.n_head_kv * self.head_dim

    @property
    def query_width(self) -> int:
        """Queries are divided by the square root of it where the architecture divides them (Gemma 3).

        It is the width of a head, but of the model with 62 blocks a head's share of the stream.
        """
        is_largest = self.architecture.divides_queries and self.n_layer == _BLOCKS_OF_GEMMA3_27B
        return self.n_embd // self.n_head if is_largest else self.head_dim

    def is_windowed(self, layer: int) -> bool:
        """Whether a block sees a window of positions only: with a window, all but every sixth."""
        return bool(self.sliding_window) and layer % BLOCKS_A_WINDOW_PATTERN != BLOCKS_A_WINDOW_PATTERN - 1


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model, still packed.

    shape     outermost axis first: (rows, cols) of a matrix, (n,) of a vector
    format    name of the weight format
    load      gives the packed bytes, (n,) uint8: a view of the memory map, or computed from a checkpoint
    offset    of the bytes in a GGUF file
    tilings   of the kernels that a TL1 or TL2 tensor was packed for; None for bitnet.cpp's presets
    rounding  relative error of a scale that was computed, as a mean or an inverse; 0 for one that is stored
    """

    name: str
    shape: tuple[int, ...]
    format: str
    load: Callable[[], NDArray[np.uint8]]
    offset: int = 0
    tilings: Tilings | None = None
    rounding: float = 0.0

    @property
    def data(self) -> NDArray[np.uint8]:
        """The packed bytes, (n,) uint8."""
        return self.load()

    def holding(self, data: NDArray[np.uint8], *, format: str | None = None) -> Tensor:
        """The same tensor with other packed bytes, of another format where one is given."""
        return replace(self, load=lambda: data, format=format or self.format)

    @property
    def weight_format(self) -> WeightFormat:
        from bitparity.formats import with_tilings

        return with_tilings(self.format, self.tilings)

    def values(self) -> NDArray[np.float32]:
        """Unpacked to float32, in `shape`."""
        rows, cols = (1, *self.shape)[-2:]
        return self.weight_format.unpack(self.data, rows, cols).reshape(self.shape)


LayerWeights = dict[str, Tensor]  # the tensors of one block by role; a projection is (outputs, inputs)


@dataclass(frozen=True)
class Weights:
    """Every weight in its place (weights.py resolves which tensor it is).

    head          (n_vocab, n_embd): the embedding itself when tied
    token_embd    (n_vocab, n_embd), or (n_embd, n_vocab) when `embedding_is_transposed`
    rope_factors  divisors of the RoPE angles (Llama 3), (rope_dim / 2,)
    """

    token_embd: Tensor
    embedding_is_transposed: bool
    head: Tensor
    head_is_tied: bool
    output_norm: Tensor
    rope_factors: Tensor | None
    layers: tuple[LayerWeights, ...]


@dataclass(frozen=True)
class Model:
    """A GGUF file or a checkpoint folder, open and memory-mapped (see open_model).

    metadata  under the keys of GGUF files, whichever of the two it is
    notes     what was found out about a checkpoint when it was opened, a sentence each
    """

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]
    hyper: HyperParameters
    weights: Weights
    notes: tuple[str, ...] = ()

    def format_counts(self) -> dict[str, int]:
        """Number of tensors of each weight format."""
        counts: dict[str, int] = {}
        for tensor in self.tensors.values():
            counts[tensor.format] = counts.get(tensor.format, 0) + 1
        return counts
