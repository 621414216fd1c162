"""`convert`: checkpoints written as GGUF files that hold their weights and that engines read."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tokenizers import Regex, pre_tokenizers

from bitparity.choose import choose_model
from bitparity.cli.convert import command
from bitparity.errors import BadInput
from bitparity.formats.table_lookup import Tiling
from bitparity.model import open_model
from bitparity.model.checkpoint.convert import convert_checkpoint
from bitparity.model.gguf_file import GgufFile
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.synthetic_vocabulary import VocabularyKind
from bitparity.model.verify import verify_weights
from bitparity.oracle.engine import OracleEngine
from bitparity.tokenizer import Tokenizer
from bitparity.tokenizer.hard_texts import HARD_TEXTS
from bitparity.tokenizer.pre_tokenizers import PRE_TOKENIZERS
from checkpoint_files import Style, bfloat16, write_checkpoint, write_tokenizer

SENTENCEPIECE = VocabularyKind("llama", pre="default")
SPECS = {
    "bitnet-b1.58": ModelSpec("bitnet-b1.58", rope_base=500_000.0),
    "bitnet": ModelSpec("bitnet", vocabulary=SENTENCEPIECE, n_vocab=600),
    "llama": ModelSpec("llama", tied=False),
    "qwen3-bitnet": ModelSpec("qwen3-bitnet", key_length=64),
    "gemma3-bitnet": ModelSpec(
        "gemma3-bitnet", key_length=64, sliding_window=32, vocabulary=SENTENCEPIECE, n_vocab=600
    ),
}
TILINGS = {
    (128, 256): Tiling(64, 96, 32),
    (256, 256): Tiling(128, 192, 32),
    (768, 256): Tiling(256, 96, 32),
    (256, 768): Tiling(128, 96, 32),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    paths = {arch: folder / f"{arch}.gguf" for arch in SPECS}
    for arch, path in paths.items():
        make_model(path, SPECS[arch])
    return paths


@pytest.fixture(scope="module")
def checkpoints(
    sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """A checkpoint of every architecture in every style that published ones have."""
    folder = tmp_path_factory.mktemp("checkpoints")
    styles: tuple[Style, ...] = ("packed", "inverse", "mean")
    return {
        (arch, style): write_checkpoint(folder / f"{arch}-{style}", source, style, shards=1 + len(style) % 3)
        for arch, source in sources.items()
        for style in styles
    }


CASES = [
    *((arch, style, "I2_S") for arch in SPECS for style in ("packed", "inverse", "mean")),
    *(("llama", "mean", weight_format) for weight_format in ("TQ2_0", "TL2", "F16", "BF16", "F32")),
    *(("bitnet", "inverse", weight_format) for weight_format in ("TQ2_0", "TL2", "F16")),
]


@pytest.mark.parametrize(("arch", "style", "weight_format"), CASES)
def test_file_holds_the_weights_of_the_checkpoint(
    checkpoints: dict[tuple[str, str], Path], arch: str, style: str, weight_format: str, tmp_path: Path
) -> None:
    tilings = TILINGS if weight_format == "TL2" else None
    target, folder = tmp_path / "model.gguf", checkpoints[arch, style]
    convert_checkpoint(folder, target, weight_format, tilings=tilings)
    expected, actual = open_model(folder), open_model(target, tilings=tilings)
    found = verify_weights(expected, actual)
    assert found.is_same, found.differences[:1]
    assert actual.hyper.as_dict() == expected.hyper.as_dict()
    formats = {t.format for t in actual.tensors.values()}
    assert formats <= {weight_format, "F16", "F32"}
    assert actual.weights.layers[0]["q"].format == weight_format


@pytest.mark.parametrize("arch", SPECS)
def test_file_has_the_vocabulary_of_the_checkpoint(
    sources: dict[str, Path], checkpoints: dict[tuple[str, str], Path], arch: str, tmp_path: Path
) -> None:
    """The checkpoint's tokenizer was made from the first file's vocabulary, which llama.cpp reads so."""
    target = tmp_path / "model.gguf"
    convert_checkpoint(checkpoints[arch, "packed"], target, "I2_S")
    written, first = GgufFile(target).metadata, GgufFile(sources[arch]).metadata
    keys = ("model", "pre", "tokens", "token_type", "merges", "bos_token_id", "eos_token_id")
    for key in (f"tokenizer.ggml.{key}" for key in keys):
        assert (key in written) == (key in first), key
        assert list(written.get(key, ())) == list(first.get(key, ())) if not _is_one(first, key) else True
        assert not _is_one(first, key) or written[key] == first[key]
    assert written["tokenizer.chat_template"] == "{{ messages }}"
    theirs = Tokenizer.from_file(checkpoints[arch, "packed"] / "tokenizer.json")
    ours = Tokenizer.from_gguf(written)
    for text in HARD_TEXTS:
        assert ours.encode(text, add_bos=True, parse_special=True) == theirs.encode(
            text, add_bos=True, parse_special=True
        )


def _is_one(metadata: dict[str, Any], key: str) -> bool:
    return isinstance(metadata.get(key), str | int)


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "gpt-2"])
def test_pre_tokenizer_is_recognised_by_how_it_cuts(
    sources: dict[str, Path], pre: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"])
    write_tokenizer(folder, open_model(sources["llama"]).metadata, pre)
    assert open_model(folder).metadata["tokenizer.ggml.pre"] == pre


def test_hard_texts_tell_all_pre_tokenizers_apart() -> None:
    cut = {
        pre.patterns: [
            pre_tokenizers.Sequence(
                [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
            ).pre_tokenize_str(text)
            for text in HARD_TEXTS
        ]
        for pre in PRE_TOKENIZERS.values()
    }
    alike = [pair for pair in combinations(cut, 2) if cut[pair[0]] == cut[pair[1]]]
    assert not alike


def change_tokenizer(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_unknown_pre_tokenizer_is_refused_and_the_checkpoint_opens(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"])
    change_tokenizer(folder, pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(BadInput, match=r"cuts texts as none of those that llama\.cpp knows.*Whitespace"):
        convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S")
    opened = open_model(folder)
    assert opened.notes[-1].startswith("texts cannot be tokenized: the pre-tokenizer")
    assert "tokenizer.ggml.model" not in opened.metadata
    assert not (tmp_path / "model.gguf").exists()


def test_what_a_file_cannot_say_of_a_tokenizer_is_told(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"])
    change_tokenizer(folder, normalizer={"type": "NFC"})
    assert "normalises texts (NFC)" in open_model(folder).notes[-1]
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match=r"tokenizer.json cannot be read: No such file"):
        convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S")


def test_token_beyond_the_embedding_is_refused_and_an_id_without_token_is_padding(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"])
    definition = json.loads((folder / "tokenizer.json").read_text())
    last = max(definition["model"]["vocab"], key=definition["model"]["vocab"].__getitem__)
    shorter = {token: i for token, i in definition["model"]["vocab"].items() if i != 300}
    merges = [
        merge for merge in definition["model"]["merges"] if set(merge) | {"".join(merge)} <= set(shorter)
    ]
    change_tokenizer(folder, model=definition["model"] | {"vocab": shorter, "merges": merges})
    metadata = open_model(folder).metadata
    assert metadata["tokenizer.ggml.tokens"][300] == "[PAD300]"
    assert metadata["tokenizer.ggml.token_type"][300] == 5
    added = {**definition["added_tokens"][0], "id": 512, "content": "<more>"}
    change_tokenizer(folder, added_tokens=[*definition["added_tokens"], added])
    assert "the id 512, and the embedding has 512 rows" in open_model(folder).notes[-1]
    assert last


def test_command_says_how_weights_are_stored_and_what_was_written(
    checkpoints: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    target, result = tmp_path / "model.gguf", tmp_path / "result.json"
    arguments = [str(checkpoints["llama", "inverse"]), str(target), "--to", "TQ2_0", "--json", str(result)]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "packed weights, divided by weight_scale: linear_class 'bitlinear'" in done.output
    assert "TQ2_0 keeps scales as F16" in done.output
    assert f"wrote {target}" in done.output
    assert json.loads(result.read_text())["formats"] == {"F16": 2, "F32": 5, "TQ2_0": 14}


def test_unknown_key_of_config_is_refused_unless_forced(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"], config={"mystery_scale": 2.0})
    with pytest.raises(BadInput, match="mystery_scale, and whether that changes the numbers is not known"):
        convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S")
    convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S", force=True)
    assert verify_weights(open_model(folder), open_model(tmp_path / "model.gguf")).is_same


def test_file_of_the_checkpoint_is_not_overwritten(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["llama"])
    weights = folder / "model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(BadInput, match="would overwrite"):
        convert_checkpoint(folder, weights, "I2_S")
    with pytest.raises(BadInput, match=r"checkpoint: no weight format is named 'I3'"):
        convert_checkpoint(folder, tmp_path / "model.gguf", "I3")
    assert weights.read_bytes() == before


def test_dense_weights_are_kept_or_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    folder, target = (
        write_checkpoint(tmp_path / "checkpoint", sources["llama"], "dense"),
        tmp_path / "model.gguf",
    )
    for weight_format in ("BF16", "F32", "F16"):
        convert_checkpoint(folder, target, weight_format)
        assert verify_weights(open_model(folder), open_model(target)).is_same
    with pytest.raises(BadInput, match=r"tensor blk.0.attn_q.weight: I2_S cannot hold the weight"):
        convert_checkpoint(folder, tmp_path / "other.gguf", "I2_S")


def test_embedding_that_f16_does_not_hold_is_refused_unless_it_is_tiny(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    """BF16 reaches further than F16 at both ends."""
    model = open_model(sources["bitnet"])
    values = model.weights.token_embd.values().copy()
    values[3, 5] = 1e-9
    tiny = {"model.embed_tokens.weight": bfloat16(values)}
    folder = write_checkpoint(tmp_path / "tiny", sources["bitnet"], tensors=tiny)
    convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S")
    assert verify_weights(open_model(folder), open_model(tmp_path / "model.gguf")).is_same
    values[3, 5] = 1e9
    large = {"model.embed_tokens.weight": bfloat16(values)}
    folder = write_checkpoint(tmp_path / "large", sources["bitnet"], tensors=large)
    with pytest.raises(
        BadInput, match=r"token_embd.weight: F16 cannot hold the weight 998244352 at row 3, column 5"
    ):
        convert_checkpoint(folder, tmp_path / "other.gguf", "I2_S")
    convert_checkpoint(folder, tmp_path / "other.gguf", "I2_S", head_format="BF16")
    assert verify_weights(open_model(folder), open_model(tmp_path / "other.gguf")).is_same


def test_embedding_in_blocks_is_what_rounding_gives(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", sources["bitnet"])
    convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S", head_format="Q6_K")
    found = verify_weights(open_model(folder), open_model(tmp_path / "model.gguf"))
    assert (found.is_same, found.rounded) == (True, ("token_embd.weight",))


def test_pooling_of_an_embedding_model_is_kept(sources: dict[str, Path], tmp_path: Path) -> None:
    config = {"architectures": ["Qwen3Model"], "tie_word_embeddings": None}
    folder = write_checkpoint(tmp_path / "checkpoint", sources["qwen3-bitnet"], config=config)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_lasttoken": true}')
    convert_checkpoint(folder, tmp_path / "model.gguf", "I2_S")
    assert GgufFile(tmp_path / "model.gguf").metadata["qwen3.pooling_type"] == 3
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}')
    with pytest.raises(BadInput, match="pooling_mode_mean_tokens; only pooling_mode_lasttoken"):
        open_model(folder)


class Reader(OracleEngine):
    """The oracle, as an engine that does not read checkpoints and runs only these formats."""

    reads_checkpoints = False

    def __init__(self, *formats: str) -> None:
        super().__init__()
        self._formats = {*formats, "F16", "F32"}

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        return None if weight_formats <= self._formats else "no"


def test_engine_that_reads_no_checkpoint_gets_a_file_that_is_converted_once(
    checkpoints: dict[tuple[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path))
    folder = checkpoints["bitnet", "packed"]
    assert choose_model(str(folder), [OracleEngine()]) == folder
    chosen = choose_model(str(folder), [OracleEngine(), Reader("TQ2_0")])
    assert open_model(chosen).weights.layers[0]["q"].format == "TQ2_0"
    written = chosen.stat().st_mtime_ns
    assert choose_model(str(folder), [Reader("TQ2_0")]) == chosen
    assert chosen.stat().st_mtime_ns == written
    assert verify_weights(open_model(folder), open_model(chosen)).is_same
