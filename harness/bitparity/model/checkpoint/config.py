"""config.json as the metadata of a GGUF file: hyperparameters under the keys that engines read.

What would change the numbers and is not understood is refused by name.  A key that is known neither to
matter nor not to is listed in `unknown_keys`, so that a conversion can refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.architectures.gguf_keys import ACTIVATIONS
from bitparity.errors import BadInput
from bitparity.model.checkpoint.classes import CheckpointClass, class_of
from bitparity.model.checkpoint.rope import Rope, read_rope
from bitparity.model.checkpoint.shards import read_json
from bitparity.model.hyperparameters import POOLS_LAST_TOKEN
from bitparity.model.types import BLOCKS_A_WINDOW_PATTERN

FILE = "config.json"
_POOLING = "1_Pooling/config.json"
# config.json -> key of the metadata behind "<architecture>.", for numbers that are written as they are
_NUMBERS = {
    "vocab_size": "vocab_size",
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
_ACTIVATION_KEYS = ("hidden_act", "hidden_activation")
# Keys that change the function unless they have one of these values.
_ONLY: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "partial_rotary_factor": (1.0, None),
    "final_logit_softcapping": (None,),
    "attn_logit_softcapping": (None,),
    "use_bidirectional_attention": (False, None),
    "sliding_window_pattern": (BLOCKS_A_WINDOW_PATTERN, None),
    "_sliding_window_pattern": (BLOCKS_A_WINDOW_PATTERN, None),
    "use_sliding_window": (False, None),
    "pretraining_tp": (1, None),
    "weight_bits": (1, None),  # of 1bitLLM's class, where 1 means ternary
    "input_bits": (8, None),
    "is_decoder": (False, True, None),
}
_READ = frozenset(
    {*_NUMBERS, *_ACTIVATION_KEYS, *_ONLY, "architectures", "head_dim", "rope_theta", "rope_scaling"}
    | {"rope_parameters", "rope_local_base_freq", "tie_word_embeddings", "quantization_config"}
    | {"query_pre_attn_scalar", "sliding_window", "layer_types"}
)
# Keys that say nothing of the function: of training, of the file, of how transformers runs and generates.
_HARMLESS = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_name_or_path",
        "add_cross_attention",
        "attention_dropout",
        "attn_implementation",
        "auto_map",
        "bos_token_id",
        "cache_implementation",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "dtype",
        "eos_token_id",
        "finetuning_task",
        "hidden_dropout",
        "id2label",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "max_window_layers",
        "model_type",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "prefix",
        "problem_type",
        "pruned_heads",
        "return_dict",
        "sep_token_id",
        "task_specific_params",
        "tie_encoder_decoder",
        "tokenizer_class",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "unsloth_fixed",
        "unsloth_version",
        "use_bfloat16",
        "use_cache",
    ]
)


@dataclass(frozen=True)
class Config:
    """A config.json that is understood.

    values     as the file has them, then the defaults of its class
    defaulted  the keys that were taken from there
    metadata   of hyperparameters, under the keys of a GGUF file
    unknown    keys that are known neither to change the function nor not to
    """

    row: CheckpointClass
    values: Mapping[str, Any]
    defaulted: tuple[str, ...]
    metadata: dict[str, Any]
    rope: Rope
    unknown: tuple[str, ...]

    @property
    def is_tied(self) -> bool:
        return bool(self.values["tie_word_embeddings"]) or not self.row.has_head

    @property
    def quantization(self) -> Mapping[str, Any] | None:
        found = self.values.get("quantization_config")
        return found if isinstance(found, dict) else None


def read_config(folder: Path) -> Config:
    """Read it; BadInput names the key that is missing, not supported, or contradicts another."""
    given = read_json(folder / FILE)
    row = class_of(given)
    said = {key: value for key, value in given.items() if value is not None}
    values = {**row.defaults, **said}
    _refuse_unsupported(values)
    rope = read_rope(values)
    return Config(
        row=row,
        values=values,
        defaulted=tuple(key for key in row.defaults if key not in said and key not in rope.read),
        metadata=_metadata(folder, values, row, rope),
        rope=rope,
        unknown=tuple(sorted(set(given) - _READ - _HARMLESS)),
    )


def _refuse_unsupported(values: Mapping[str, Any]) -> None:
    for key, allowed in _ONLY.items():
        if values.get(key) not in allowed:
            raise BadInput(f"{FILE}: {key} is {values[key]!r}; only {allowed[0]!r} is supported")


def _architecture(values: Mapping[str, Any], row: CheckpointClass) -> str:
    key = next((key for key in _ACTIVATION_KEYS if key in row.defaults), _ACTIVATION_KEYS[0])
    name = ACTIVATIONS.get(values[key])
    if name is None or name not in row.architectures:
        raise BadInput(
            f"{FILE}: {key} is {values[key]!r}; {row.names[0]} is read with {', '.join(row.architectures)}"
        )
    return row.architectures[name]


def _metadata(folder: Path, values: Mapping[str, Any], row: CheckpointClass, rope: Rope) -> dict[str, Any]:
    architecture = _architecture(values, row)
    missing = [key for key in _NUMBERS if key not in values and key != "num_key_value_heads"]
    if missing:
        raise BadInput(f"{FILE} lacks {missing[0]}")
    n_head = values["num_attention_heads"]
    numbers = {name: values.get(key, n_head) for key, name in _NUMBERS.items()}  # as many KV heads as heads
    head_dim = values.get("head_dim", values["hidden_size"] // n_head)
    numbers |= {
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
        **rope.metadata,
        **_windows(values, head_dim),
        **_pooling(folder, row),
    }
    name = str(values.get("_name_or_path") or folder.resolve().name).rstrip("/").rpartition("/")[2]
    general = {"general.architecture": architecture, "general.name": name}
    return general | {f"{architecture}.{key}": _as_in_a_file(value) for key, value in numbers.items()}


def _pooling(folder: Path, row: CheckpointClass) -> dict[str, Any]:
    """Whether an embedding model pools the last token, as sentence-transformers says beside it."""
    file = folder / _POOLING
    if row.has_head or not file.is_file():
        return {}
    modes = [key for key, value in read_json(file).items() if key.startswith("pooling_mode_") and value]
    if modes != ["pooling_mode_lasttoken"]:
        raise BadInput(
            f"{_POOLING} has {' and '.join(modes) or 'no mode'}; only pooling_mode_lasttoken is read"
        )
    return {"pooling_type": POOLS_LAST_TOKEN}


def _as_in_a_file(value: Any) -> Any:
    """A number as a GGUF file holds it: reals are float32."""
    return float(np.float32(value)) if isinstance(value, float) else value


def _windows(values: Mapping[str, Any], head_dim: int) -> dict[str, Any]:
    """The window of Gemma 3's blocks; a window that blocks of other classes have is refused."""
    layers = values.get("layer_types") or []
    if "query_pre_attn_scalar" not in values:
        if any(kind != "full_attention" for kind in layers):
            raise BadInput(f"{FILE}: layer_types has {next(k for k in layers if k != 'full_attention')!r}")
        return {}
    if values["query_pre_attn_scalar"] != head_dim:
        raise BadInput(
            f"{FILE}: query_pre_attn_scalar is {values['query_pre_attn_scalar']}; only the width of a head, "
            f"{head_dim}, is supported"
        )
    pattern = BLOCKS_A_WINDOW_PATTERN
    expected = [
        "full_attention" if i % pattern == pattern - 1 else "sliding_attention" for i in range(len(layers))
    ]
    if layers != expected:
        raise BadInput(f"{FILE}: layer_types is not a full block after every {pattern - 1} windowed ones")
    return {"attention.sliding_window": values["sliding_window"]}
