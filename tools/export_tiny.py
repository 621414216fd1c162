"""Write the bundled GGUF models from what train_tiny.py trained.

    python tools/export_tiny.py build/tiny/bitnet.safetensors harness/bitparity/data/tiny-bitnet.gguf

Reads tokenizer.json beside the weights.  Projections become ternary by absmean, with the scale rounded
once to a value that F16 and BF16 both hold, so that every format has the same codes and scale; the
embedding, which is also the head, becomes F16; norms stay F32.  The run's record is kept under the key
bitparity.training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from bitparity.formats import ROWS, get_format, is_ternary
from bitparity.formats.rules import absolute_mean
from bitparity.model.writer import (
    TensorPlan,
    bool_field,
    float32_field,
    int32s_field,
    string_field,
    strings_field,
    uint32_field,
    write_gguf,
)

WEIGHT_FORMAT = "TQ1_0"
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
NORMAL, CONTROL = 1, 3  # llama_token_type
CONTEXT_LENGTH = 1024  # trained on windows of 256; RoPE goes on


def tokenizer_fields(definition: dict[str, Any]) -> dict[str, bytes]:
    """From a tokenizer.json with byte-level BPE."""
    vocabulary = definition["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in definition["model"]["merges"]]
    return {
        "tokenizer.ggml.model": string_field("gpt2"),
        "tokenizer.ggml.pre": string_field("llama-bpe"),
        "tokenizer.ggml.tokens": strings_field(tokens),
        "tokenizer.ggml.token_type": int32s_field([CONTROL if t in (BOS, EOS) else NORMAL for t in tokens]),
        "tokenizer.ggml.merges": strings_field(merges),
        "tokenizer.ggml.bos_token_id": uint32_field(vocabulary[BOS]),
        "tokenizer.ggml.eos_token_id": uint32_field(vocabulary[EOS]),
        "tokenizer.ggml.add_bos_token": bool_field(True),
    }


def model_fields(record: dict[str, Any]) -> dict[str, bytes]:
    arch = record["arch"]
    return {
        "general.architecture": string_field(arch),
        "general.name": string_field(f"bitparity tiny {arch}"),
        "general.license": string_field("psf-2.0"),
        "general.file_type": uint32_field(ROWS[WEIGHT_FORMAT].file_type),
        "bitparity.training": string_field(json.dumps(record)),
        f"{arch}.vocab_size": uint32_field(record["vocab"]),
        f"{arch}.context_length": uint32_field(CONTEXT_LENGTH),
        f"{arch}.embedding_length": uint32_field(record["width"]),
        f"{arch}.block_count": uint32_field(record["layers"]),
        f"{arch}.feed_forward_length": uint32_field(record["feed_forward"]),
        f"{arch}.attention.head_count": uint32_field(record["heads"]),
        f"{arch}.attention.head_count_kv": uint32_field(record["kv_heads"]),
        f"{arch}.attention.layer_norm_rms_epsilon": float32_field(record["norm_eps"]),
        f"{arch}.rope.dimension_count": uint32_field(record["width"] // record["heads"]),
        f"{arch}.rope.freq_base": float32_field(record["rope_base"]),
    }


def exact_in_16_bits(value: float) -> float:
    """The nearest BF16: eight significant bits, which F16 holds too for scales of this size."""
    bf16 = get_format("BF16")
    rounded = float(bf16.unpack(bf16.pack(np.array([[value]], dtype=np.float32)), 1, 1)[0, 0])
    assert float(np.float16(rounded)) == rounded
    return rounded


def tensor_plan(name: str, values: NDArray[np.float32]) -> TensorPlan:
    """The training script's names are GGUF's."""
    if values.ndim == 1:
        packed, weight_format = get_format("F32").pack(values[None, :]), "F32"
    elif name == "token_embd.weight":
        packed, weight_format = get_format("F16").pack(values), "F16"
    else:
        codes, mean = absolute_mean(values)
        ternary = get_format(WEIGHT_FORMAT)
        assert is_ternary(ternary)
        packed, weight_format = ternary.pack_codes(codes, exact_in_16_bits(mean)), WEIGHT_FORMAT
    return TensorPlan(name, values.shape, weight_format, lambda: [packed])


def tensor_plans(weights: Path) -> Iterator[TensorPlan]:
    with safe_open(weights, "numpy") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            yield tensor_plan(name, file.get_tensor(name))


def read_record(weights: Path) -> dict[str, Any]:
    with safe_open(weights, "numpy") as file:
        record: dict[str, Any] = json.loads(file.metadata()["record"])
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    definition = json.loads((args.weights.parent / "tokenizer.json").read_text(encoding="utf-8"))
    record = read_record(args.weights)
    write_gguf(
        args.model, model_fields(record) | tokenizer_fields(definition), list(tensor_plans(args.weights))
    )
    print(f"{args.model}: {args.model.stat().st_size:,} bytes; {json.dumps(record)}")


if __name__ == "__main__":
    main()
