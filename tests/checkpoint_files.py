"""Checkpoints as transformers saves them, written from the weights of a GGUF file: every way of storing them.

The names are listed here once more, so that the reader's are checked against somebody else's list.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as HuggingFace

from bitparity.formats import get_format, is_ternary
from bitparity.formats.base import Codes, Floats
from bitparity.model import open_model
from bitparity.model.types import Model, Tensor

Style = Literal["packed", "inverse", "codes", "mean", "ternary", "dense"]
Array = NDArray[Any]

_MODULES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
}
_GEMMA3 = {**_MODULES, "ffn_norm": "pre_feedforward_layernorm"}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_CLASSES = {
    "bitnet": "BitNetForCausalLM",
    "bitnet-b1.58": "BitNetForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
}
_ACTIVATIONS = {"silu": "silu", "relu2": "relu2", "gelu": "gelu_pytorch_tanh"}
QUANTIZATION: dict[str, dict[str, str] | None] = {
    "packed": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
    "inverse": {"quant_method": "bitnet"},
    "codes": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
    "mean": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"},
    "ternary": None,
    "dense": None,
}


def write_checkpoint(
    folder: Path,
    source: Path,
    style: Style = "packed",
    *,
    shards: int = 1,
    config: Mapping[str, Any] | None = None,
    without: tuple[str, ...] = (),
    tensors: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> Path:
    """Write a checkpoint of the model in a GGUF file and return its folder.

    config   keys to add to config.json or to change; None takes one out
    without  tensors to leave out
    tensors  tensors to add or to change, under the checkpoint's names

    Weights of "mean" and "dense" are drawn around those of the file; all others are the file's.  Norms are
    F32, where published checkpoints round them to BF16, so that they can be compared exactly.
    """
    model = open_model(source)
    folder.mkdir(parents=True, exist_ok=True)
    written = dict(_tensors(model, style, seed)) | dict(tensors or {})
    _write_shards(folder, {n: a for n, a in written.items() if n not in without}, shards)
    values = config_of(model, style) | dict(config or {})
    kept = {key: value for key, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept, indent=1))
    write_tokenizer(folder, model.metadata)
    return folder


# As the tokenizer.json of Llama 3, of Qwen 2 and of GPT-2 have them.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"llama-bpe": _LLAMA3, "qwen2": _LLAMA3.replace("{1,3}", ""), "gpt-2": None}


def write_tokenizer(folder: Path, metadata: Mapping[str, Any], pre: str | None = None) -> None:
    """tokenizer.json and tokenizer_config.json of the vocabulary of a GGUF file.

    pre  whose pattern cuts the words of a byte-level vocabulary; as the metadata say when None
    """
    tokens = list(metadata["tokenizer.ggml.tokens"])
    bos = tokens[metadata["tokenizer.ggml.bos_token_id"]]
    eos = tokens[metadata["tokenizer.ggml.eos_token_id"]]
    is_byte_level = metadata["tokenizer.ggml.model"] == "gpt2"
    made = _byte_level(metadata, tokens, pre) if is_byte_level else _sentencepiece(metadata, tokens)
    made.add_special_tokens([AddedToken(bos, special=True), AddedToken(eos, special=True)])
    if metadata.get("tokenizer.ggml.add_bos_token", True):
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokens.index(bos))]
        )
    made.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": bos, "eos_token": eos, "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _byte_level(metadata: Mapping[str, Any], tokens: list[str], pre: str | None) -> HuggingFace:
    merges = [tuple(line.split(" ")) for line in metadata["tokenizer.ggml.merges"]]
    pattern = PATTERNS[pre or metadata["tokenizer.ggml.pre"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    made = HuggingFace(models.BPE(vocabulary, merges, ignore_merges=pattern == _LLAMA3))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    made.pre_tokenizer = byte_level
    if pattern is not None:
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level]
        )
    made.decoder = decoders.ByteLevel()
    return made


def _sentencepiece(metadata: Mapping[str, Any], tokens: list[str]) -> HuggingFace:
    """As the tokenizer.json of Llama 2: merges in the order of the scores, a space before the text."""
    scores, vocabulary = list(metadata["tokenizer.ggml.scores"]), {token: i for i, token in enumerate(tokens)}
    by_score = sorted((t for t in tokens if len(t) > 1), key=lambda token: -scores[vocabulary[token]])
    cuts = [(token[:i], token[i:]) for token in by_score for i in range(1, len(token))]
    merges = [cut for cut in cuts if cut[0] in vocabulary and cut[1] in vocabulary]
    made = HuggingFace(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return made


def config_of(model: Model, style: Style) -> dict[str, Any]:
    """config.json as transformers 4 writes it."""
    hyper, activation = model.hyper, _ACTIVATIONS[model.hyper.activation]
    values: dict[str, Any] = {
        "architectures": [_CLASSES[hyper.architecture.gguf_name]],
        "hidden_size": hyper.n_embd,
        "intermediate_size": hyper.n_ff,
        "num_hidden_layers": hyper.n_layer,
        "num_attention_heads": hyper.n_head,
        "num_key_value_heads": hyper.n_head_kv,
        "head_dim": hyper.head_dim,
        "vocab_size": hyper.n_vocab,
        "max_position_embeddings": hyper.context_length,
        "rms_norm_eps": float(f"{hyper.norm_eps:.6g}"),
        "rope_theta": hyper.rope_base,
        "hidden_act": activation,
        "tie_word_embeddings": model.weights.head_is_tied,
        "torch_dtype": "bfloat16",
        "quantization_config": QUANTIZATION[style],
    }
    if hyper.architecture.gguf_name == "gemma3":
        values |= {
            "hidden_activation": activation,
            "query_pre_attn_scalar": hyper.head_dim,
            "sliding_window": hyper.sliding_window,
            "rope_local_base_freq": hyper.windowed_rope_base,
        }
        del values["hidden_act"]
    return values


def _tensors(model: Model, style: Style, seed: int) -> Iterator[tuple[str, Array]]:
    is_gemma3 = model.hyper.architecture.gguf_name == "gemma3"
    for tensor in model.tensors.values():
        module = _module(tensor.name, _GEMMA3 if is_gemma3 else _MODULES)
        if module is None:
            continue
        if len(tensor.shape) == 1:
            is_less_one = is_gemma3 and not tensor.name.endswith("_norm_in.weight")
            yield f"{module}.weight", tensor.values() - np.float32(is_less_one)
        elif is_ternary(tensor.weight_format):
            yield from _projection(model, tensor, module, style, seed)
        else:
            yield f"{module}.weight", bfloat16(tensor.values())


def _module(name: str, modules: Mapping[str, str]) -> str | None:
    parts = name.removesuffix(".weight").split(".")
    if parts[0] != "blk":
        return _OUTSIDE.get(parts[0])
    prefix = f"model.layers.{parts[1]}."
    if parts[2].endswith("_norm_in"):  # norms before projections belong to their modules
        return f"{prefix}{modules[parts[2].removesuffix('_norm_in')]}.norm"
    return prefix + modules[parts[2]]


def _projection(
    model: Model, tensor: Tensor, module: str, style: Style, seed: int
) -> Iterator[tuple[str, Array]]:
    codes, scale = codes_of(model, tensor)
    if style in ("packed", "inverse", "codes"):
        stored = pack(codes) if style != "codes" else bfloat16(codes.astype(np.float32))
        yield f"{module}.weight", stored
        direct = np.array([scale], dtype=np.float32)
        yield f"{module}.weight_scale", bfloat16(np.float32(1) / direct if style == "inverse" else direct)
    elif style == "ternary":
        yield f"{module}.weight", bfloat16((codes * np.float32(scale)).astype(np.float32))
    else:
        yield f"{module}.weight", bfloat16(trained(codes, scale, seed))


def codes_of(model: Model, tensor: Tensor) -> tuple[Codes, float]:
    """Codes in the row order of transformers, and the scale, of a ternary tensor of a GGUF file."""
    form = tensor.weight_format
    assert is_ternary(form)
    codes, scales = form.unpack_codes(tensor.data, *tensor.shape)
    role = tensor.name.split(".")[2]
    if role in ("attn_q", "attn_k") and model.hyper.rope_pairs == "norm":
        head, half = model.hyper.head_dim, model.hyper.head_dim // 2
        order = [h + 2 * (i % half) + i // half for h in range(0, len(codes), head) for i in range(head)]
        codes = codes[order]
    return codes, float(scales.reshape(-1)[0])


def pack(codes: Codes) -> NDArray[np.uint8]:
    """Four codes a byte, by a loop: the first quarter of the rows in the lowest bits."""
    quarter = len(codes) // 4
    packed = np.zeros((quarter, codes.shape[1]), dtype=np.uint8)
    for i in range(4):
        packed += ((codes[i * quarter : (i + 1) * quarter] + 1) << (2 * i)).astype(np.uint8)
    return packed


def trained(codes: Codes, scale: float, seed: int) -> Floats:
    """Weights of training of which most round to these codes."""
    noise = np.random.default_rng([seed, codes.size]).normal(0, 0.3, codes.shape)
    return (scale * (codes + noise)).astype(np.float32)


class BFloat16:
    """An array of float32 values that is stored as BF16."""

    def __init__(self, values: Floats) -> None:
        self.shape = values.shape
        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(1, -1)
        self.data = get_format("BF16").pack(flat).tobytes()


def bfloat16(values: Floats) -> Any:
    return BFloat16(values)


_DTYPES = {"uint8": "U8", "float32": "F32", "float16": "F16"}


def _write_shards(folder: Path, tensors: Mapping[str, Any], count: int) -> None:
    if count == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    names = list(tensors)
    weight_map = {name: f"model-{i % count + 1:05}-of-{count:05}.safetensors" for i, name in enumerate(names)}
    for file in dict.fromkeys(weight_map.values()):
        write_safetensors(folder / file, {name: tensors[name] for name in names if weight_map[name] == file})
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )


def write_safetensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """The `safetensors` package writes NumPy arrays only, which have no BF16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    pieces: list[bytes] = []
    end = 0
    for name, array in tensors.items():
        data = array.data if isinstance(array, BFloat16) else np.ascontiguousarray(array).tobytes()
        dtype = "BF16" if isinstance(array, BFloat16) else _DTYPES[array.dtype.name]
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [end, end + len(data)],
        }
        end += len(data)
        pieces.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(pieces))
