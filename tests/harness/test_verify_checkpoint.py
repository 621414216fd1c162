"""verify-weights of a checkpoint and a file: sound files pass, and each fault of a conversion is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.cli.verify_weights import command
from bitparity.errors import BadInput
from bitparity.formats import get_format, is_ternary
from bitparity.formats.base import Bytes, Codes
from bitparity.model import open_model
from bitparity.model.checkpoint.convert import convert_checkpoint
from bitparity.model.gguf_file import GgufFile
from bitparity.model.rope_order import rope_pairs_to_halves
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.synthetic_vocabulary import VocabularyKind
from bitparity.model.types import Tensor
from bitparity.model.writer import TensorPlan, field_of, float32_field, string_field, write_gguf
from checkpoint_files import write_checkpoint, write_tokenizer
from rewrite import Change, rewrite

SPECS = {
    "llama": ModelSpec("llama", tied=False, rope_base=500_000.0),
    "bitnet": ModelSpec("bitnet-b1.58", rope_base=500_000.0),
    "gemma": ModelSpec(
        "gemma3-bitnet", key_length=64, sliding_window=32, vocabulary=VocabularyKind("llama", pre="default")
    ),
}


@dataclass(frozen=True)
class Made:
    """A checkpoint and the file that `convert` makes of it."""

    checkpoint: Path
    file: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    folder = tmp_path_factory.mktemp("verify")
    found = {}
    for name, spec in SPECS.items():
        source, checkpoint, file = folder / "source.gguf", folder / name, folder / f"{name}.gguf"
        make_model(source, spec)
        write_checkpoint(checkpoint, source)
        convert_checkpoint(checkpoint, file, "I2_S")
        found[name] = Made(checkpoint, file)
    return found


def verify(made: Made, file: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(made.checkpoint), str(file), *options], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.mark.parametrize("name", SPECS)
def test_converted_file_is_proved(made: dict[str, Made], name: str, tmp_path: Path) -> None:
    code, output = verify(made[name], made[name].file, "--json", str(tmp_path / "found.json"))
    assert code == 0, output
    assert re.search(r"metadata: 1\d hyperparameters, no differences", output)
    assert "tokenizer: 512 tokens, 19 hard texts, no differences" in output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["same"]
    assert found["weights"] > 1_000_000
    assert found["tokenizer"]["texts"] == 19


def recoded(change: Callable[[Codes], Codes], scaled: Callable[[float], float] = float) -> Change:
    """A change of the codes and the scale of an I2_S tensor."""

    def apply(data: Bytes, tensor: Tensor) -> None:
        form = tensor.weight_format
        assert is_ternary(form)
        codes, scale = form.unpack_codes(data.copy(), *tensor.shape)
        data[:] = form.pack_codes(change(codes), float(np.float32(scaled(float(scale[0, 0])))))

    return apply


def same(codes: Codes) -> Codes:
    return codes


def quantised_again(data: Bytes, tensor: Tensor) -> None:
    """What absmean makes of weights that are ternary already: the same codes, and their mean as the scale."""
    codes, _ = get_format("I2_S").unpack_codes(data.copy(), *tensor.shape)  # type: ignore[attr-defined]
    recoded(same, lambda scale: scale * np.count_nonzero(codes) / codes.size)(data, tensor)


def unpermuted(codes: Codes) -> Codes:
    changed: Codes = rope_pairs_to_halves(codes, len(codes) // 64)
    return changed


def rolled(data: Bytes, tensor: Tensor) -> None:
    data[:] = np.roll(data.reshape(tensor.shape[0], -1), 1, axis=0).reshape(-1)


def moved(source: Path, name: str) -> Change:
    """The bytes of another tensor of the file."""
    other = open_model(source).tensors[name]

    def apply(data: Bytes, tensor: Tensor) -> None:
        data[:] = other.data

    return apply


def less_one(data: Bytes, tensor: Tensor) -> None:
    data[:] = get_format("F32").pack((tensor.values() - 1)[None, :])


def tokens_moved(file: Path) -> dict[str, bytes]:
    tokens = list(GgufFile(file).metadata["tokenizer.ggml.tokens"])
    return {"tokenizer.ggml.tokens": field_of([*tokens[1:], tokens[0]])}


PROJECTIONS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
EVERYWHERE = [f"blk.{layer}.{name}.weight" for layer in range(2) for name in PROJECTIONS]


@dataclass(frozen=True)
class Fault:
    """How a file is spoilt, and what is said of it; several sentences must all be said."""

    model: str
    said: tuple[str, ...]
    changes: dict[str, Change] = field(default_factory=dict)
    fields: dict[str, bytes] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    from_file: Callable[[Path], dict[str, Any]] = lambda file: {}


FAULTS = {
    "scale inverted": Fault(
        "llama",
        (
            r"one reason for all 14 differences: inverted scale",
            r"its outputs are [\d.]+ times as large as they should be",
        ),
        {name: recoded(same, lambda scale: 1 / scale) for name in EVERYWHERE},
    ),
    "quantised again": Fault(
        "bitnet",
        (
            r"one reason for all 14 differences: mean for maximum",
            r"the second file has the mean magnitude",
            r"its outputs are 0\.[56]\d+ times",
        ),
        {name: quantised_again for name in EVERYWHERE},
    ),
    "wrong base": Fault(
        "llama",
        (r"llama.rope.freq_base is 10000, and 500000 in the checkpoint", r"turn at other speeds"),
        fields={"llama.rope.freq_base": float32_field(10000.0)},
    ),
    "base left out": Fault(
        "llama",
        (
            r"llama.rope.freq_base is 10000, and 500000 in the checkpoint",
            r"leaves to engines' defaults: rope.freq_base 10000",
        ),
        without=("llama.rope.freq_base",),
    ),
    "wrong epsilon": Fault(
        "bitnet",
        (
            r"bitnet-b1.58.attention.layer_norm_rms_epsilon is 1e-06, and 1e-05 in the checkpoint",
            r"every norm divides by another number",
        ),
        fields={"bitnet-b1.58.attention.layer_norm_rms_epsilon": float32_field(1e-6)},
    ),
    "swapped projections": Fault(
        "bitnet",
        (
            r"blk.0.ffn_gate.weight: .* has there the weights that the first has in blk.0.ffn_up.weight",
            r"blk.0.ffn_up.weight: .* has there the weights that the first has in blk.0.ffn_gate.weight",
            r"a projection is computed with the weights of another",
        ),
        from_file=lambda file: {
            "changes": {
                "blk.0.ffn_gate.weight": moved(file, "blk.0.ffn_up.weight"),
                "blk.0.ffn_up.weight": moved(file, "blk.0.ffn_gate.weight"),
            }
        },
    ),
    "Q and K not permuted": Fault(
        "llama",
        (
            r"blk.1.attn_k.weight: .*rows are permuted for RoPE in the second file",
            r"RoPE turns rows of Q or K together that are no pair",
        ),
        {f"blk.{i}.attn_{part}.weight": recoded(unpermuted) for i in range(2) for part in "qk"},
    ),
    "rows shifted": Fault(
        "bitnet",
        (
            r"blk.1.attn_output.weight: .*rows are shifted: row r of the second file is row r - 1",
            r"outputs change places",
        ),
        {"blk.1.attn_output.weight": recoded(lambda codes: np.roll(codes, 1, axis=0))},
    ),
    "embedding shifted": Fault(
        "bitnet",
        (
            r"token_embd.weight: .*row r of the second file is row r - 1",
            r"every token is taken for a neighbour",
        ),
        {"token_embd.weight": rolled},
    ),
    "vocabulary off by one": Fault(
        "bitnet",
        (
            r"512 of 512 ids stand for other bytes, first 0: .*every token is moved by -1",
            r"other tokens than",
        ),
        from_file=lambda file: {"fields": tokens_moved(file)},
    ),
    "pre-tokenizer missing": Fault(
        "llama",
        (
            r"tokenizer.ggml.pre is missing, so that engines take 'default', .* cuts texts as 'llama-bpe'",
            r"\d+ of 19 hard texts get other ids",
        ),
        without=("tokenizer.ggml.pre",),
    ),
    "another pre-tokenizer": Fault(
        "llama",
        (r"tokenizer.ggml.pre is 'gpt-2', and the checkpoint cuts texts as 'llama-bpe'",),
        fields={"tokenizer.ggml.pre": string_field("gpt-2")},
    ),
    "no BOS": Fault(
        "llama",
        (r"an empty text has the ids \[\], and \[510\] in the checkpoint", r"every prompt has other ends"),
        fields={"tokenizer.ggml.add_bos_token": field_of(False)},
    ),
    "another end": Fault(
        "llama",
        (r"tokenizer.ggml.eos_token_id is 5, and 511 in the checkpoint", r"generation ends at another token"),
        fields={"tokenizer.ggml.eos_token_id": field_of(5)},
    ),
    "space before the text": Fault(
        "gemma",
        (r"'Hello world' gets other ids from offset \d.*the checkpoint adds a space before the text",),
        fields={"tokenizer.ggml.add_space_prefix": field_of(False)},
    ),
    "norms of Gemma": Fault(
        "gemma",
        (r"blk.0.ffn_norm.weight: .*every weight is one less: the second file keeps Gemma's norms",),
        {"blk.0.ffn_norm.weight": less_one},
    ),
    "window": Fault(
        "gemma",
        (r"gemma3.attention.sliding_window is 64, and 32 in", r"blocks with a window see other positions"),
        fields={"gemma3.attention.sliding_window": field_of(64)},
    ),
    "another activation": Fault(
        "bitnet",
        (r"activation is silu, and relu2 in the checkpoint", r"the feed-forward computes another function"),
        fields={"bitnet-b1.58.hidden_act": string_field("silu")},
    ),
    "stretched": Fault(
        "llama",
        (r"llama.rope.scaling is linear by 4, and none in the checkpoint", r"RoPE is stretched otherwise"),
        fields={"llama.rope.scaling.factor": float32_field(4.0)},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named_with_what_it_does(made: dict[str, Made], name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    pair = made[fault.model]
    given: dict[str, Any] = {"changes": fault.changes, "fields": fault.fields, "without": fault.without}
    spoilt = rewrite(pair.file, tmp_path / "model.gguf", **(given | fault.from_file(pair.file)))
    code, output = verify(pair, spoilt, "--force")
    assert code == 1, output
    for sentence in fault.said:
        assert re.search(sentence, output), output


def test_missing_norm_is_named(made: dict[str, Made], tmp_path: Path) -> None:
    model, file = open_model(made["bitnet"].file), GgufFile(made["bitnet"].file)
    plans = [
        TensorPlan(t.name, t.shape, t.format, lambda t=t: [t.data])  # type: ignore[misc]
        for t in model.tensors.values()
        if not t.name.endswith("attn_sub_norm.weight")
    ]
    fields = {key: file.raw_field(key) for key in file.metadata}
    write_gguf(tmp_path / "model.gguf", fields, plans)
    with pytest.raises(BadInput, match=r"tensor blk.0.attn_sub_norm.weight is missing; its shape would be"):
        verify(made["bitnet"], tmp_path / "model.gguf")


def test_another_architecture_is_named_with_its_function(made: dict[str, Made], tmp_path: Path) -> None:
    """What the references compute depends on the name alone."""
    pair = made["bitnet"]
    metadata = GgufFile(pair.file).metadata
    renamed = {
        k.replace("bitnet-b1.58.", "bitnet."): v for k, v in metadata.items() if k.startswith("bitnet")
    }
    fields = {key: field_of(value) for key, value in renamed.items()}
    fields["general.architecture"] = string_field("bitnet")
    without = tuple(key for key in metadata if key.startswith("bitnet-b1.58."))
    other = rewrite(pair.file, tmp_path / "model.gguf", fields=fields, without=without)
    code, output = verify(pair, other)
    assert code == 1
    assert "general.architecture is 'bitnet', and the checkpoint is 'bitnet-b1.58'" in output
    assert "engines compute silu where the checkpoint has relu2" in output


def test_file_without_what_changes_no_number_is_the_same(made: dict[str, Made], tmp_path: Path) -> None:
    left_out = (
        "llama.attention.key_length",
        "llama.attention.value_length",
        "llama.rope.dimension_count",
        "tokenizer.chat_template",
    )
    shorter = {"llama.context_length": field_of(2048)}
    file = rewrite(made["llama"].file, tmp_path / "model.gguf", fields=shorter, without=left_out)
    code, output = verify(made["llama"], file)
    assert code == 0
    assert "leaves to engines' defaults: attention.key_length 64, rope.dimension_count 64" in output
    assert "llama.context_length is 2048, and 4096 in the checkpoint: engines make room" in output
    assert "no chat template, unlike the checkpoint" in output


def test_tokenizer_that_is_cut_otherwise_is_compared_by_ids(made: dict[str, Made], tmp_path: Path) -> None:
    """A file converted for another tokenizer.json: same tokens, other words."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", made["llama"].file)
    write_tokenizer(checkpoint, open_model(made["llama"].file).metadata, "gpt-2")
    code, output = verify(Made(checkpoint, made["llama"].file), made["llama"].file)
    assert code == 1
    assert "tokenizer.ggml.pre is 'llama-bpe', and the checkpoint cuts texts as 'gpt-2'" in output


def test_checkpoint_without_tokenizer_is_still_verified(made: dict[str, Made], tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", made["llama"].file)
    (checkpoint / "tokenizer.json").unlink()
    code, output = verify(Made(checkpoint, made["llama"].file), made["llama"].file)
    assert code == 0
    assert "tokenizers were not compared: tokenizer.json cannot be read" in output


def test_vocabulary_that_cannot_be_used_is_a_difference(made: dict[str, Made], tmp_path: Path) -> None:
    """As a converter writes it that asks for an EOS which the vocabulary lacks."""
    fields = {"tokenizer.ggml.add_eos_token": field_of(True), "tokenizer.ggml.eos_token_id": field_of(9999)}
    file = rewrite(made["llama"].file, tmp_path / "model.gguf", fields=fields)
    code, output = verify(made["llama"], file, "--force")
    assert code == 1
    assert "tokenizer.ggml.eos_token_id is missing, but the file asks for it in every prompt" in output
    assert "engines cannot tokenize texts" in output
