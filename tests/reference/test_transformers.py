"""transformers as an engine, where torch and transformers are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.blame.bisect import record_session
from bitparity.blame.engines import judge_engine
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.conformance.optional import TEXTS
from bitparity.conformance.run import run_checks
from bitparity.conformance.subject import Subject
from bitparity.engine import Fingerprint, ModelInfo, Session
from bitparity.errors import BadInput, CannotTokenize, TokenMismatch
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.oracle.arithmetic import arithmetic_of
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine
from bitparity.settings import read_settings
from bitparity.stages import StageFilter
from bitparity.tokenizer import Tokenizer
from bitparity_reference.transformers.classes import class_of
from bitparity_reference.transformers.engine import TransformersEngine
from bitparity_reference.transformers.session import open_transformers
from checkpoint_files import Style, write_checkpoint, write_tokenizer

pytest.importorskip("torch", reason="transformers runs on torch, which is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

TOKENS = [(37 * i + 11) % 320 for i in range(20)]
ModelFile = Callable[..., Path]
EVERYTHING = StageFilter.parse("*:*")
# Architecture, and what else a model of it may have that is computed at another place.
MODELS = [
    {"arch": "bitnet", "weight_format": "I2_S"},
    {"arch": "bitnet-b1.58", "weight_format": "TQ2_0", "head_format": "Q6_K"},
    {"arch": "llama", "weight_format": "I2_S", "tied": False},
    {"arch": "llama", "weight_format": "Q4_1"},
    {"arch": "qwen3", "weight_format": "F16", "key_length": 128},
    {"arch": "qwen3", "weight_format": "BF16", "rope_scaling": "yarn", "rope_factor": 4.0},
    {"arch": "qwen3-bitnet", "weight_format": "I2_S"},
    {"arch": "gemma3", "weight_format": "F16", "sliding_window": 8, "n_layer": 7},
    {"arch": "gemma3-bitnet", "weight_format": "I2_S", "rope_scaling": "linear", "rope_factor": 2.0},
]


def opened_here(model: Model) -> Session:
    """A session in this process, which has imported torch once for all tests."""
    fingerprint = Fingerprint("transformers", "", "", "", "eager", 1, "f32")
    return open_transformers(model.path, threads=1, info=ModelInfo.of(model, 64, fingerprint))


@pytest.mark.parametrize("fields", MODELS, ids=lambda f: f"{f['arch']}-{f['weight_format']}")
def test_every_stage_is_sound_by_the_arithmetic_that_it_states(
    model_file: ModelFile, fields: dict[str, object]
) -> None:
    model = open_model(model_file(n_vocab=320, **fields))
    session = opened_here(model)
    evidence = record_session(session, model, TOKENS, Chunking.parse("mixed"), EVERYTHING)
    assert evidence.states
    judged = judge_engine(model, evidence, tokens=TOKENS)
    assert not judged.sentence()
    assert (judged.absent, judged.not_judged) == ((), ())
    arithmetic = arithmetic_of(session.info.fingerprint)
    expected = Decoder(Definition.of(model, arithmetic)).forward(TOKENS)
    session.rollback(0)
    actual = session.prefill(TOKENS)
    left = np.linalg.norm(actual - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert left.min() <= 2e-6  # where no int8 activation falls the other way


CHECKPOINTS: list[tuple[str, Style, str]] = [
    ("bitnet", "packed", "plain, activations token"),
    ("bitnet-b1.58", "inverse", "plain, activations token"),
    ("bitnet-b1.58", "mean", "plain, activations token"),
    ("llama", "codes", "plain, activations token"),
    ("qwen3", "inverse", "plain, activations token"),
    # config.json does not say that weights are quantised, so transformers takes them for plain ones
    ("bitnet", "ternary", "plain, activations none"),
]


@pytest.mark.parametrize(("arch", "style", "stated"), CHECKPOINTS)
def test_a_checkpoint_is_read_by_transformers_itself(
    model_file: ModelFile, tmp_path: Path, arch: str, style: Style, stated: str
) -> None:
    source = model_file(arch=arch, weight_format="I2_S", n_vocab=320, tied=arch != "llama")
    model = open_model(write_checkpoint(tmp_path / "checkpoint", source, style, shards=2))
    session = opened_here(model)
    evidence = record_session(session, model, TOKENS, Chunking.parse("mixed"), EVERYTHING)
    assert session.info.fingerprint.details["weights read by"] == "transformers"
    assert evidence.arithmetic.name == stated
    judged = judge_engine(model, evidence, tokens=TOKENS)
    assert not judged.sentence()
    assert (judged.absent, judged.not_judged) == ((), ())


def test_a_checkpoint_whose_norms_it_does_not_know_is_given_to_it(
    model_file: ModelFile, tmp_path: Path
) -> None:
    source = model_file(arch="qwen3-bitnet", weight_format="I2_S", n_vocab=320)
    model = open_model(write_checkpoint(tmp_path / "checkpoint", source, "packed"))
    session = opened_here(model)
    evidence = record_session(session, model, TOKENS, Chunking.parse("prefill"), EVERYTHING)
    assert session.info.fingerprint.details["weights read by"] == "bitparity"
    assert not judge_engine(model, evidence, tokens=TOKENS).sentence()


def test_a_checkpoint_is_tokenized_by_transformers(model_file: ModelFile, tmp_path: Path) -> None:
    source = model_file(arch="bitnet", weight_format="I2_S", n_vocab=512)
    folder = write_checkpoint(tmp_path / "checkpoint", source)
    (folder / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(CannotTokenize):
        opened_here(open_model(folder)).tokenize("Hello", add_bos=True, parse_special=True)
    write_tokenizer(folder, open_model(source).metadata)
    session, expected = opened_here(open_model(folder)), Tokenizer.from_gguf(open_model(source).metadata)
    for text in (*TEXTS, "<|begin_of_text|>Hello"):
        for add_bos in (True, False):
            for special in (True, False):
                ids = session.tokenize(text, add_bos=add_bos, parse_special=special)
                assert ids == expected.encode(text, add_bos=add_bos, parse_special=special)
        assert session.detokenize(ids) == expected.decode(ids)


def test_a_checkpoint_that_adds_no_bos_where_the_file_does_is_a_mismatch(
    model_file: ModelFile, tmp_path: Path
) -> None:
    source = open_model(model_file(arch="bitnet", weight_format="I2_S", n_vocab=512))
    folder = write_checkpoint(tmp_path / "checkpoint", source.path)
    write_tokenizer(folder, source.metadata | {"tokenizer.ggml.add_bos_token": False})
    sides = Side(TransformersEngine(), open_model(folder)), Side(OracleEngine(), source)
    asked = Comparison(*sides, [Prompt(text="Hello")], read_settings({}))
    with pytest.raises(TokenMismatch):
        compare_engines(asked)


def test_a_checkpoint_of_which_it_leaves_tensors_out_is_refused(
    model_file: ModelFile, tmp_path: Path
) -> None:
    source = model_file(arch="bitnet", weight_format="I2_S", n_vocab=320)
    bias = {"model.layers.0.mlp.up_proj.bias": np.ones(768, np.float32)}
    folder = write_checkpoint(tmp_path / "checkpoint", source, "packed", tensors=bias)
    from bitparity_reference.transformers.load import load_checkpoint

    with pytest.raises(BadInput, match=r"1 tensors are unexpected, the first is .*up_proj\.bias"):
        load_checkpoint(folder, class_of(ARCHITECTURES["bitnet"]))


def test_a_wrong_base_of_rope_in_its_configuration_is_found(
    model_file: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitparity_reference.transformers import build, configuration

    model = open_model(model_file(arch="bitnet", weight_format="I2_S", n_vocab=320))
    right = configuration.configuration_of

    def wrong(*arguments: object, **options: object) -> dict[str, object]:
        given = right(*arguments, **options)  # type: ignore[arg-type]
        return given | {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}

    monkeypatch.setattr(build, "configuration_of", wrong)
    evidence = record_session(opened_here(model), model, TOKENS, Chunking.parse("prefill"), EVERYTHING)
    judged = judge_engine(model, evidence, tokens=TOKENS)
    assert {stage.stage for stage in judged.guilty_stages()} == {"q_rope", "k_rope"}


def test_a_window_is_rolled_back(model_file: ModelFile) -> None:
    """Its own cache of a window forgets; ours keeps all positions."""
    path = model_file(arch="gemma3", weight_format="F16", sliding_window=8, n_layer=7, n_vocab=320)
    session = opened_here(open_model(path))
    expected = session.prefill(TOKENS)
    session.rollback(3)
    actual = session.prefill(TOKENS[3:])
    np.testing.assert_allclose(actual, expected[3:], rtol=0, atol=1e-5 * np.abs(expected).max())


def test_it_keeps_the_contract_in_a_worker(model_file: ModelFile) -> None:
    model = open_model(model_file(arch="llama", weight_format="I2_S"))
    subject = Subject(TransformersEngine(), model, read_settings({}), threads=2)
    names = ["shapes", "tap", "wrong-ids", "too-long", "last-is-last"]
    try:
        found = run_checks(subject, names)
    finally:
        subject.close()
    states = {outcome.name: outcome.state.value for outcome in found.outcomes}
    assert states == dict.fromkeys(names, "holds")


def test_a_device_that_is_not_there_is_refused_with_those_that_are(model_file: ModelFile) -> None:
    path = model_file(arch="bitnet", weight_format="I2_S")
    with pytest.raises(BadInput, match="transformers has no device 7; "):
        TransformersEngine().open(path, context=8, threads=1, device_id=7)


def test_norms_are_moved_by_rounding_only(model_file: ModelFile) -> None:
    model = open_model(model_file(arch="bitnet", weight_format="F16", n_vocab=320))
    info = ModelInfo.of(model, 64, Fingerprint("transformers", "", "", "", "eager", 1, "f32"))
    plain, first, again = (
        open_transformers(model.path, threads=1, info=info, seed=seed).prefill(TOKENS)
        for seed in (None, 1, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert 0 < np.abs(first - plain).max() < 1e-4 * np.abs(plain).max()
