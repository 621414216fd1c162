"""Shapes that `make-model` knows by name: some for tests, and those of published models, one row each.

A published model's row has the shape and the metadata of its GGUF file, not its weights and not its words:
the vocabulary is a synthetic one of the same kind and size.  `source` says where the numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from bitparity.errors import BadInput
from bitparity.model.hyperparameters import POOLS_LAST_TOKEN
from bitparity.model.synthetic import ModelSpec
from bitparity.model.synthetic_vocabulary import VocabularyKind

PRESETS = {
    "tiny": ModelSpec(),
    "small": ModelSpec(n_layer=4, n_embd=512, n_head=8, n_head_kv=4, n_ff=1536, n_vocab=4096),
    "llama-tiny": ModelSpec("llama", tied=False),
}


@dataclass(frozen=True)
class Published:
    """A published model.

    source  where its numbers come from, and which are not known from there
    """

    spec: ModelSpec
    source: str


_CONVERTER = "vocabulary keys as convert-hf-to-gguf-bitnet.py of bitnet.cpp writes them"
# No tokenizer.ggml.pre, and scores that are all zero: 24 keys.
_2B_4T = ModelSpec(
    "bitnet-b1.58", 30, 2560, 20, 5, 6912, 128_256, context_length=4096, rope_base=500_000.0,
    vocabulary=VocabularyKind(pre=None, has_scores=True), name="bitnet2b",
)  # fmt: skip
_1BIT_LLM = ModelSpec(
    "bitnet", 24, 1536, 16, 16, 4096, 32_002, context_length=2048, rope_scaling="linear",
    vocabulary=VocabularyKind("llama", pre="default", add_bos=None), name="bitnet_b1_58-large",
)  # fmt: skip
_LLAMA3 = ModelSpec(
    "llama", 32, 4096, 32, 8, 14_336, 128_256, tied=False, context_length=8192, rope_base=500_000.0,
    vocabulary=VocabularyKind(add_bos=None), name="Llama3-8B-1.58-100B-tokens",
)  # fmt: skip
_FALCON3 = ModelSpec(
    "llama", 18, 2048, 8, 4, 8192, 131_072, tied=False, context_length=8192, rope_base=1_000_042.0,
    norm_eps=1e-6, vocabulary=VocabularyKind(pre="falcon3", add_bos=None),
)  # fmt: skip
_FALCON_E = ModelSpec(
    "llama", 24, 2048, 16, 2, 9216, 32_768, tied=False, context_length=32_768, rope_base=1_000_042.0,
    norm_eps=1e-6, vocabulary=VocabularyKind(pre="falcon_e", add_bos=None),
)  # fmt: skip

_QWEN_WORDS = VocabularyKind(pre="qwen2", add_bos=None, add_eos=True, has_bos=False)
_EMBEDDING_06B = ModelSpec(
    "qwen3-bitnet", 28, 1024, 16, 8, 3072, 151_936, key_length=128, context_length=32_768, rope_base=1e6,
    norm_eps=1e-6, norm_format="F16", pooling_type=POOLS_LAST_TOKEN, vocabulary=_QWEN_WORDS,
    name="bitnet-embedding-0.6b",
)  # fmt: skip
_EMBEDDING_270M = ModelSpec(
    "gemma3-bitnet", 18, 640, 4, 1, 2048, 262_144, key_length=256, context_length=32_768, norm_eps=1e-6,
    norm_format="F16", pooling_type=POOLS_LAST_TOKEN, name="bitnet-embedding-270m",
    vocabulary=VocabularyKind("llama", pre="default", add_bos=None, add_space_prefix=False),
)  # fmt: skip
_BONSAI_8B = ModelSpec(
    "qwen3", 36, 4096, 32, 8, 12_288, 151_669, weight_format="Q2_0", head_format="Q2_0", tied=False,
    key_length=128, context_length=65_536, rope_base=1e6, rope_scaling="yarn", rope_factor=4.0,
    original_context=16_384, norm_eps=1e-6, vocabulary=replace(_QWEN_WORDS, add_bos=False, add_eos=None),
)  # fmt: skip

_BONSAI_SIZES = {
    "1.7B": replace(_BONSAI_8B, n_layer=28, n_embd=2048, n_head=16, n_ff=6144, tied=True),
    "4B": replace(_BONSAI_8B, n_embd=2560, n_ff=9728, tied=True),
    "8B": _BONSAI_8B,
}
_FALCON3_SIZES = {
    "1B": _FALCON3,
    "3B": replace(_FALCON3, n_layer=22, n_embd=3072, n_head=12, n_ff=9216, context_length=32_768),
    "7B": replace(
        _FALCON3, n_layer=28, n_embd=3072, n_head=12, n_ff=23_040, n_vocab=131_080, context_length=32_768
    ),
    "10B": replace(_FALCON3, n_layer=40, n_embd=3072, n_head=12, n_ff=23_040, context_length=32_768),
}
_FALCON_E_SIZES = {"1B": _FALCON_E, "3B": replace(_FALCON_E, n_layer=32, n_ff=13_312)}
_FALCON3_SOURCE = f"its config.json as others list it; {_CONVERTER}; context length as of Falcon3 Instruct"
_FALCON_E_SOURCE = {
    "1B": "tensor counts of microsoft/BitNet#268; feed-forward and KV heads from the 666 MB of the file",
    "3B": "its config.json as others list it; tensor counts of microsoft/BitNet#622",
}
_EMBEDDING_SOURCE = (
    "microsoft/BitNet docs/bitnet-embeddings-i2s-guide.md; keys and F16 norms as its "
    "utils/convert-bitnet-embedding-to-gguf.py writes them"
)
_BONSAI_SOURCE = {
    "8B": "its model card, and the keys of the 1-bit file of the same shape as Ollama lists them; "
    "Q2_0 in llama.cpp's blocks of 64",
} | {
    size: "its model card and the shape of Qwen3 that it names; RoPE and context length are those of the 8B"
    for size in ("1.7B", "4B")
}

PUBLISHED: dict[str, Published] = {
    "BitNet-b1.58-2B-4T": Published(_2B_4T, "the loader's listing of the file in microsoft/BitNet#373"),
    "BitNet-b1.58-2B-4T-bitnet-25": Published(
        replace(_2B_4T, arch="bitnet-25", name="bitnet2b_2501", tied=False, head_copied=True),
        "its first upload, under another architecture name and with a head: ikawrakow/ik_llama.cpp#337",
    ),
    "bitnet_b1_58-large": Published(_1BIT_LLM, f"its config.json, copied in many projects; {_CONVERTER}"),
    "bitnet_b1_58-3B": Published(
        replace(
            _1BIT_LLM, n_layer=26, n_embd=3200, n_head=32, n_head_kv=32, n_ff=8640, weight_format="TL2",
            name="bitnet_b1_58-3B",
        ),
        f"its config.json, copied in many projects; {_CONVERTER}; 8,640 columns have no blocks of I2_S or TQ",
    ),
    "Llama3-8B-1.58-100B-tokens": Published(
        _LLAMA3, f"the loader's listing in microsoft/BitNet#195; {_CONVERTER}"
    ),
    **{
        f"Falcon3-{size}-Instruct-1.58bit": Published(
            replace(spec, name=f"Falcon3-{size}-Instruct-1.58bit"), _FALCON3_SOURCE
        )
        for size, spec in _FALCON3_SIZES.items()
    },
    **{
        f"Falcon-E-{size}-{variant}": Published(
            replace(spec, name=f"Falcon-E-{size}-{variant}"),
            f"{_FALCON_E_SOURCE[size]}; {_CONVERTER}; RoPE base, epsilon and context length are Falcon3's",
        )
        for size, spec in _FALCON_E_SIZES.items()
        for variant in ("Base", "Instruct")
    },
    "BitNet-embedding-0.6B": Published(_EMBEDDING_06B, _EMBEDDING_SOURCE),
    "BitNet-embedding-270M": Published(_EMBEDDING_270M, _EMBEDDING_SOURCE),
    **{
        name: Published(replace(_BONSAI_SIZES[size], name=name), source)
        for size, source in _BONSAI_SOURCE.items()
        for name in (f"Ternary-Bonsai-{size}",)
    },
}  # fmt: skip


def preset_named(name: str) -> ModelSpec:
    """The spec of a preset, whatever the case of its name; BadInput when there is none."""
    specs = PRESETS | {published: row.spec for published, row in PUBLISHED.items()}
    by_lower = {known.lower(): spec for known, spec in specs.items()}
    if name.lower() not in by_lower:
        raise BadInput(f"no preset is named {name!r}; there are {', '.join(specs)}")
    return by_lower[name.lower()]


def shrunk(spec: ModelSpec) -> ModelSpec:
    """The same architecture, metadata and proportions with two layers, a few heads and a small vocabulary.

    Heads keep their share of KV heads; widths are multiples of 256, which every ternary format takes.
    TL2, whose kernels are made for the published shape, becomes I2_S.
    """
    n_head_kv = min(2, spec.n_head_kv)
    n_head = n_head_kv * (spec.n_head // spec.n_head_kv)
    step = lcm(256, n_head)
    n_embd = step * -(-n_head * 32 // step)
    context_length = 512
    return replace(
        spec,
        n_layer=2,
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=n_head_kv,
        n_ff=256 * max(2, round(n_embd * spec.n_ff / spec.n_embd / 256)),
        n_vocab=1024,
        weight_format="I2_S" if spec.weight_format == "TL2" else spec.weight_format,
        context_length=context_length,
        original_context=round(context_length / spec.rope_factor),
    )
