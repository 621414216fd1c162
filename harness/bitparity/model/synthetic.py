"""Synthetic models of any shape: random weights that behave, a vocabulary that works, written as a stream.

The same seed gives the same weights whatever format they are packed in: codes come from a generator per
tensor name, and every scale and embedding value is exact in F16 and in BF16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from bitparity.architectures import architecture_named
from bitparity.architectures.graph import Architecture, BlockWeight, axis_size
from bitparity.errors import BadInput
from bitparity.formats import FLOATS, OF_HEADS, ROWS, get_format, is_ternary
from bitparity.formats.base import Bytes, Codes, Floats
from bitparity.formats.bf16 import BF16
from bitparity.model.synthetic_vocabulary import VocabularyKind, make_vocabulary
from bitparity.model.tensor_types import require_storable
from bitparity.model.writer import (
    Progress,
    TensorPlan,
    bool_field,
    float32_field,
    float32s_field,
    int32s_field,
    string_field,
    strings_field,
    uint32_field,
    write_gguf,
)

_ZEROS = 102  # of 256 random bytes: 40 % zeros, as trained models have about
_RANDOM_ROWS = 1024  # rows of the embedding drawn at a time
# Magnitude of what a branch adds to the residual stream, relative to the embedding: large enough that a tied
# head does not simply repeat the input token.
_RESIDUAL_GAIN = 8.0
_LOGIT_DEVIATION = 2.0  # standard deviation of logits with a tied head


_LLAMA_3 = VocabularyKind()


@dataclass(frozen=True)
class ModelSpec:
    """Shape and formats of a synthetic model; BadInput when make_model gets one that cannot be.

    head_format    of the embedding and of a head of its own
    norm_format    of every norm's weight: F32, F16 or BF16
    name           general.name; made of the shape when empty
    head_copied    whether a head that is not tied holds the values of the embedding
    key_length     width of a head; None divides n_embd among the heads, and the file does not say it
    pooling_type   3 for an embedding model that pools the last token
    rope_scaling   "none", "linear" or "yarn": RoPE stretched rope_factor times beyond original_context
    """

    arch: str = "bitnet"
    n_layer: int = 2
    n_embd: int = 256
    n_head: int = 4
    n_head_kv: int = 2
    n_ff: int = 768
    n_vocab: int = 512
    weight_format: str = "I2_S"
    head_format: str = "F16"
    norm_format: str = "F32"
    tied: bool = True
    embedding_transposed: bool = False
    seed: int = 0
    context_length: int = 4096
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    vocabulary: VocabularyKind = _LLAMA_3
    name: str = ""
    head_copied: bool = False
    key_length: int | None = None
    rope_scaling: str = "none"
    rope_factor: float = 1.0
    original_context: int = 4096
    sliding_window: int | None = None
    pooling_type: int | None = None

    @property
    def head_dim(self) -> int:
        return self.key_length or self.n_embd // self.n_head


def make_model(path: Path, spec: ModelSpec, progress: Progress | None = None) -> None:
    """Write the model that `spec` describes.

    Only the tensor that is being written is in memory, never the model; a transposed embedding is held whole.
    Raises BadInput for a spec that cannot be, ShapeError for a width that the weight format cannot pack.
    """
    _check(spec)
    write_gguf(path, _fields(spec), planned_tensors(spec), progress=progress)


def planned_tensors(spec: ModelSpec) -> list[TensorPlan]:
    """The tensors of the model that `spec` describes, in file order; nothing is drawn yet."""
    return list(_plans(spec))


def _check(spec: ModelSpec) -> None:
    architecture_named(spec.arch)
    require_storable(spec.weight_format)
    if spec.head_format not in OF_HEADS:
        raise BadInput(f"the head format {spec.head_format!r} is none of {', '.join(OF_HEADS)}")
    if spec.norm_format not in FLOATS:
        raise BadInput(f"the norm format {spec.norm_format!r} is none of {', '.join(FLOATS)}")
    for name in ("n_layer", "n_embd", "n_head", "n_head_kv", "n_ff", "context_length"):
        if getattr(spec, name) < 1:
            raise BadInput(f"{name} is {getattr(spec, name)}; it must be at least 1")
    for name in ("rope_base", "norm_eps"):
        if not 0 < getattr(spec, name) < float("inf"):
            raise BadInput(f"{name} is {getattr(spec, name)}; it must be a positive number")
    if spec.seed < 0:
        raise BadInput(f"the seed is {spec.seed}; it must not be negative")
    if spec.key_length is None and spec.n_embd % spec.n_head:
        raise BadInput(f"{spec.n_head} heads do not divide the width {spec.n_embd}")
    if spec.head_dim < 2 or spec.head_dim % 2:
        raise BadInput(f"a head of width {spec.head_dim} cannot be rotated by RoPE, which takes even widths")
    if spec.n_head % spec.n_head_kv:
        raise BadInput(f"{spec.n_head_kv} KV heads do not divide the {spec.n_head} heads")


def _fields(spec: ModelSpec) -> dict[str, bytes]:
    arch = architecture_named(spec.arch).gguf_name
    named = spec.name or f"synthetic {spec.arch} {spec.n_layer}x{spec.n_embd}, seed {spec.seed}"
    fields = {
        "general.architecture": string_field(arch),
        "general.name": string_field(named),
        "general.file_type": uint32_field(ROWS[spec.weight_format].file_type),
        f"{arch}.vocab_size": uint32_field(spec.n_vocab),
        **_hyper_fields(spec),
    }
    return fields | _vocabulary_fields(spec)


def _vocabulary_fields(spec: ModelSpec) -> dict[str, bytes]:
    kind, vocabulary = spec.vocabulary, make_vocabulary(spec.n_vocab, spec.vocabulary.model)
    scores = vocabulary.scores or [0.0] * spec.n_vocab * kind.has_scores
    fields = {"tokenizer.ggml.model": string_field(kind.model)}
    if kind.pre is not None:
        fields["tokenizer.ggml.pre"] = string_field(kind.pre)
    fields["tokenizer.ggml.tokens"] = strings_field(vocabulary.tokens)
    if scores:
        fields["tokenizer.ggml.scores"] = float32s_field(scores)
    fields["tokenizer.ggml.token_type"] = int32s_field(vocabulary.types)
    if kind.model == "gpt2":
        fields["tokenizer.ggml.merges"] = strings_field(vocabulary.merges)
    if kind.has_bos:
        fields["tokenizer.ggml.bos_token_id"] = uint32_field(vocabulary.bos)
    fields["tokenizer.ggml.eos_token_id"] = uint32_field(vocabulary.eos)
    said = {
        "add_bos_token": kind.add_bos,
        "add_eos_token": kind.add_eos,
        "add_space_prefix": kind.add_space_prefix,
    }
    return fields | {
        f"tokenizer.ggml.{key}": bool_field(value) for key, value in said.items() if value is not None
    }


def _hyper_fields(spec: ModelSpec) -> dict[str, bytes]:
    architecture = architecture_named(spec.arch)
    values = asdict(spec) | {"rope_dim": spec.head_dim, "head_dim": spec.key_length}
    fields = {
        f"{architecture.gguf_name}.{key.key}": (uint32_field if key.number is int else float32_field)(value)
        for key in architecture.keys
        if (value := values.get(key.field)) is not None
    }
    if spec.key_length is not None:
        fields[f"{architecture.gguf_name}.attention.value_length"] = uint32_field(spec.key_length)
    if spec.pooling_type is not None:
        fields[f"{architecture.gguf_name}.pooling_type"] = uint32_field(spec.pooling_type)
    return fields | _rope_scaling_fields(spec)


def _rope_scaling_fields(spec: ModelSpec) -> dict[str, bytes]:
    if spec.rope_scaling == "none":
        return {}
    prefix = f"{architecture_named(spec.arch).gguf_name}.rope.scaling"
    fields = {
        f"{prefix}.type": string_field(spec.rope_scaling),
        f"{prefix}.factor": float32_field(spec.rope_factor),
    }
    if spec.rope_scaling == "yarn":
        fields[f"{prefix}.original_context_length"] = uint32_field(spec.original_context)
    return fields


def _plans(spec: ModelSpec) -> Iterator[TensorPlan]:
    architecture = architecture_named(spec.arch)
    yield _embedding_plan(spec, "token_embd.weight", transposed=spec.embedding_transposed)
    for layer in range(spec.n_layer):
        for weight in architecture.weights:
            yield _block_plan(spec, architecture, weight, layer)
    yield _norm_plan(spec, "output_norm.weight", spec.n_embd)
    if not spec.tied:
        head = _embedding_plan(
            spec, "token_embd.weight" if spec.head_copied else "output.weight", transposed=False
        )
        yield replace(head, name="output.weight")


def _block_plan(spec: ModelSpec, architecture: Architecture, weight: BlockWeight, layer: int) -> TensorPlan:
    name = weight.name(layer)
    first, *others = (axis_size(spec, axis) for axis in weight.axes)
    if not others:
        return _norm_plan(spec, name, first)
    ends_a_branch = weight.role in architecture.branch_ends
    gain = _RESIDUAL_GAIN * _embedding_deviation(spec) if ends_a_branch else 1.0
    return _ternary_plan(spec, name, first, others[0], gain)


def _generator(spec: ModelSpec, name: str, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([spec.seed, crc32(name.encode()), part])


def _exact_in_16_bits(values: Floats) -> Floats:
    """The nearest values that F16 and BF16 both hold: 8 significant bits, no finer than F16's 2^-24."""
    rows, cols = values.shape
    return BF16.unpack(BF16.pack(values), rows, cols).astype(np.float16).astype(np.float32)


def _norm_plan(spec: ModelSpec, name: str, n: int) -> TensorPlan:
    def chunks() -> Iterator[Bytes]:
        weights = 1 + 0.1 * _generator(spec, name).standard_normal(n, dtype=np.float32)
        yield get_format(spec.norm_format).pack(weights[None, :])

    return TensorPlan(name, (n,), spec.norm_format, chunks)


def _ternary_plan(spec: ModelSpec, name: str, rows: int, cols: int, gain: float) -> TensorPlan:
    weight_format = get_format(spec.weight_format)

    def chunks() -> Iterator[Bytes]:
        codes, scale = ternary_weights(spec, name, rows, cols, gain)
        if is_ternary(weight_format):
            yield weight_format.pack_codes(codes, scale)
        else:
            yield weight_format.pack(codes * np.float32(scale))

    weight_format.size(rows, cols)  # raises before anything is written if the shape cannot be packed
    return TensorPlan(name, (rows, cols), spec.weight_format, chunks)


def ternary_weights(spec: ModelSpec, name: str, rows: int, cols: int, gain: float) -> tuple[Codes, float]:
    """Codes and scale of a projection whose output has about `gain` times the magnitude of its input.

    The scale varies by a tenth from tensor to tensor, so that mixing two tensors up shows.
    """
    generator = _generator(spec, name)
    variation = generator.uniform(0.9, 1.1)
    drawn = generator.integers(0, 256, (rows, cols), dtype=np.uint8)
    codes = (drawn >= _ZEROS).astype(np.int8)
    codes[drawn >= (_ZEROS + 256) // 2] = -1
    scale = gain * variation / np.sqrt((1 - _ZEROS / 256) * cols)
    return codes, float(_exact_in_16_bits(np.array([[scale]], dtype=np.float32))[0, 0])


def _embedding_deviation(spec: ModelSpec) -> float:
    return float(_LOGIT_DEVIATION / np.sqrt(spec.n_embd))


def _embedding_plan(spec: ModelSpec, name: str, *, transposed: bool) -> TensorPlan:
    pack = get_format(spec.head_format).pack

    def drawn() -> Iterator[Floats]:
        for part in range(-(-spec.n_vocab // _RANDOM_ROWS)):
            rows = min(_RANDOM_ROWS, spec.n_vocab - part * _RANDOM_ROWS)
            normal = _generator(spec, name, part).standard_normal((rows, spec.n_embd), dtype=np.float32)
            yield _exact_in_16_bits(normal * np.float32(_embedding_deviation(spec)))

    def chunks() -> Iterator[Bytes]:
        yield from (pack(part) for part in ([np.concatenate(list(drawn())).T] if transposed else drawn()))

    shape = (spec.n_vocab, spec.n_embd)
    return TensorPlan(name, shape[::-1] if transposed else shape, spec.head_format, chunks)
