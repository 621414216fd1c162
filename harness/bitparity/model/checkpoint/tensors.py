"""The tensors of a checkpoint under the names, and in the row order, that they have in a GGUF file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bitparity.architectures import ARCHITECTURES
from bitparity.architectures.graph import BlockWeight
from bitparity.errors import BadInput
from bitparity.formats import get_format
from bitparity.formats.base import Bytes
from bitparity.formats.codes import CODES
from bitparity.model.checkpoint.config import FILE, Config
from bitparity.model.checkpoint.convention import Convention, Projection, find_convention, is_left_out
from bitparity.model.checkpoint.projections import decode, rounding_of, shape_of
from bitparity.model.checkpoint.shards import FLOAT_TYPES, Stored, read_shards
from bitparity.model.rope_order import rope_halves_to_pairs
from bitparity.model.types import Tensor

_PREFIX = "model."  # of all modules but the head; embedding models leave it out
_EMBEDDING, _NORM, _HEAD = "embed_tokens.weight", "norm.weight", "lm_head.weight"
_KEPT_BYTES = 1 << 27  # of decoded projections: a few of the largest
_ROTATED = ("q", "k")
_COMPARED_ROWS = 1024


@dataclass(frozen=True)
class _Place:
    """What a module of a block is: the weight whose part it plays, of which layer."""

    weight: BlockWeight
    layer: int

    @property
    def name(self) -> str:
        return self.weight.name(self.layer)


class _Cache:
    """Decoded tensors, so many bytes of them; those that were asked for last stay."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._lock = most_bytes, threading.Lock()
        self._kept: OrderedDict[str, Bytes] = OrderedDict()

    def get(self, name: str, compute: Callable[[], Bytes]) -> Bytes:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        data = compute()  # outside the lock: several threads decode several tensors at once
        with self._lock:
            self._kept[name] = data
            while len(self._kept) > 1 and sum(each.size for each in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return data


def read_tensors(folder: Path, config: Config) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors by their names in a GGUF file, in its order, and what was found out, a sentence each.

    Raises BadInput for a tensor that has no part, and for weights that are stored in a way which is not
    known or not clear.
    """
    stored = {_bare(name): tensor for name, tensor in read_shards(folder).items() if not _is_buffer(name)}
    reader = _Reader(config, stored)
    tensors = dict(reader.all_tensors())
    reader.require_nothing_left()
    return tensors, tuple(reader.notes)


def _bare(name: str) -> str:
    return name.removeprefix(_PREFIX)


def _is_buffer(name: str) -> bool:
    """What older versions saved besides weights: RoPE's frequencies, which follow from config.json."""
    return name.endswith(".rotary_emb.inv_freq")


class _Reader:
    def __init__(self, config: Config, stored: Mapping[str, Stored]) -> None:
        self._config, self._stored, self._taken = config, stored, set[str]()
        self._gguf_name = str(config.metadata["general.architecture"])
        self._architectures = [a for a in ARCHITECTURES.values() if a.gguf_name == self._gguf_name]
        self._cache = _Cache(_KEPT_BYTES)
        self.notes: list[str] = []

    def all_tensors(self) -> Iterator[tuple[str, Tensor]]:
        places = dict(self._places())
        projections = {m: self._projection(m) for m, place in places.items() if len(place.weight.axes) == 2}
        quantised = {m: p for m, p in projections.items() if not is_left_out(self._config, m)}
        normed = any(f"{module}.norm.weight" in self._stored for module in projections)
        kind = self._convention(list(quantised.values()), normed)
        yield "token_embd.weight", self._as_stored("token_embd.weight", self._take(_EMBEDDING))
        for module, place in places.items():
            if module in quantised and kind.kind != "dense":
                yield place.name, self._decoded(place, quantised[module], kind)
            elif module in projections:
                yield place.name, self._dense(place, projections[module])
            else:
                yield place.name, self._norm(place.name, place.weight.role, self._take(f"{module}.weight"))
        yield "output_norm.weight", self._norm("output_norm.weight", "output_norm", self._take(_NORM))
        yield from self._head()
        yield from self._rope_factors()

    def require_nothing_left(self) -> None:
        unused = sorted(set(self._stored) - self._taken)
        if unused:
            what = "biases are not supported" if unused[0].endswith(".bias") else "it is not understood"
            raise BadInput(
                f"tensor {unused[0]} (of {len(unused)} such) has no part in the architecture "
                f"{self._gguf_name!r}: {what}"
            )

    def _places(self) -> Iterator[tuple[str, _Place]]:
        """Every module of a block that is stored, in the order of a GGUF file."""
        widest = max(self._architectures, key=lambda architecture: len(architecture.weights))
        for layer in range(int(self._config.metadata[f"{self._gguf_name}.block_count"])):
            for weight in widest.weights:
                for name in self._config.row.modules.get(weight.role, ()):
                    module = f"layers.{layer}.{name}"
                    if f"{module}.weight" in self._stored:
                        yield module, _Place(weight, layer)

    def _take(self, name: str) -> Stored:
        if name not in self._stored:
            raise BadInput(f"tensor {name} is missing")
        self._taken.add(name)
        return self._stored[name]

    def _projection(self, module: str) -> Projection:
        scale = f"{module}.weight_scale"
        found = self._take(scale) if scale in self._stored else None
        return Projection(module, self._take(f"{module}.weight"), found)

    def _convention(self, projections: list[Projection], normed: bool) -> Convention:
        if not projections:
            raise BadInput("no projection of any block was found")
        found = find_convention(self._config, projections, normed=normed)
        self.notes.append(found.reason)
        return found

    def _decoded(self, place: _Place, projection: Projection, convention: Convention) -> Tensor:
        rows, cols = shape_of(projection)

        def load() -> Bytes:
            data = decode(projection, convention.kind)
            if not self._is_reordered(place):
                return data
            codes, tail = np.split(data, [rows * cols])
            return np.concatenate([self._reordered(codes.reshape(rows, cols), place).reshape(-1), tail])

        kept = partial(self._cache.get, place.name, load)
        return Tensor(place.name, (rows, cols), CODES.name, kept, rounding=rounding_of(convention.kind))

    def _dense(self, place: _Place, projection: Projection) -> Tensor:
        tensor = self._as_stored(place.name, projection.weight)
        if projection.scale is not None:
            raise BadInput(f"tensor {projection.scale.name} scales weights that are not quantised")
        if not self._is_reordered(place):
            return tensor
        rows = projection.weight.shape[0]

        def load() -> Bytes:
            return self._reordered(projection.weight.data.reshape(rows, -1), place).reshape(-1)

        kept = partial(self._cache.get, place.name, load)
        return Tensor(place.name, tensor.shape, tensor.format, kept)

    def _is_reordered(self, place: _Place) -> bool:
        return place.weight.role in _ROTATED and self._architectures[0].rope_pairs == "norm"

    def _reordered(self, rows: Bytes, place: _Place) -> Bytes:
        """Rows of Q or K as llama.cpp rotates them, in pairs; transformers rotates halves of heads."""
        head_dim = int(self._config.metadata[f"{self._gguf_name}.attention.key_length"])
        if len(rows) % head_dim:
            raise BadInput(
                f"tensor {place.name}: {len(rows)} rows are no whole number of heads of {head_dim}"
            )
        return rope_halves_to_pairs(rows, len(rows) // head_dim)

    def _as_stored(self, name: str, stored: Stored) -> Tensor:
        if stored.dtype not in FLOAT_TYPES:
            raise BadInput(f"tensor {stored.name} is {stored.dtype}; {', '.join(FLOAT_TYPES)} are read")
        return Tensor(name, stored.shape, stored.dtype, lambda: stored.data, stored.offset)

    def _norm(self, name: str, role: str, stored: Stored) -> Tensor:
        values = self._as_stored(name, stored).values()
        if role in self._config.row.one_more:
            values = values + np.float32(1)
        data = get_format("F32").pack(values.reshape(1, -1))
        return Tensor(name, stored.shape, "F32", lambda: data)

    def _head(self) -> Iterator[tuple[str, Tensor]]:
        if not self._config.is_tied:
            if _HEAD not in self._stored:
                raise BadInput(
                    f"tensor {_HEAD} is missing, and {FILE} does not tie the head to the embedding"
                )
            yield "output.weight", self._as_stored("output.weight", self._take(_HEAD))
        elif _HEAD in self._stored:
            if not _hold_the_same(self._take(_HEAD), self._take(_EMBEDDING)):
                raise BadInput(
                    f"tensor {_HEAD} differs from the embedding, and tie_word_embeddings in {FILE} says that "
                    "they are one; which of the two is the head?"
                )
            self.notes.append(f"{_HEAD} repeats the embedding, to which {FILE} ties it; it is left out")

    def _rope_factors(self) -> Iterator[tuple[str, Tensor]]:
        factors = self._config.rope.factors
        if factors is not None:
            values = factors(int(self._config.metadata[f"{self._gguf_name}.rope.dimension_count"]))
            data = get_format("F32").pack(values[None, :])
            yield "rope_freqs.weight", Tensor("rope_freqs.weight", values.shape, "F32", lambda: data)


def _hold_the_same(one: Stored, other: Stored) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    step = one.data.size // one.shape[0] * _COMPARED_ROWS
    starts = range(0, one.data.size, step)
    return all(np.array_equal(one.data[i : i + step], other.data[i : i + step]) for i in starts)
