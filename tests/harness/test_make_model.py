"""Synthetic models: what was asked for is what is there, and real llama.cpp takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import get_format, is_ternary
from bitparity.model import Model, open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.synthetic_vocabulary import make_vocabulary
from bitparity.pytest_plugin import require_engine
from bitparity.tokenizer import Tokenizer

FORMATS = ("F32", "F16", "BF16", "I2_S", "TQ1_0", "TQ2_0")


def made(folder: Path, spec: ModelSpec, name: str = "x.gguf") -> Model:
    make_model(folder / name, spec)
    return open_model(folder / name)


@pytest.mark.parametrize("weight_format", FORMATS)
def test_twins_in_all_formats_hold_the_same_weights(tmp_path: Path, weight_format: str) -> None:
    expected = made(tmp_path, ModelSpec(weight_format="I2_S"), "expected.gguf")
    actual = made(tmp_path, ModelSpec(weight_format=weight_format))
    assert actual.format_counts()[weight_format] >= 14
    assert list(actual.tensors) == list(expected.tensors)
    for name, tensor in actual.tensors.items():
        np.testing.assert_array_equal(tensor.values(), expected.tensors[name].values())


def test_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_model(tmp_path / name, ModelSpec(n_layer=1, seed=seed))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not np.array_equal(
        open_model(tmp_path / "a").weights.layers[0]["q"].data,
        open_model(tmp_path / "c").weights.layers[0]["q"].data,
    )


def test_weights_look_like_those_of_a_trained_model(tmp_path: Path) -> None:
    model = made(tmp_path, ModelSpec(n_layer=1, n_ff=4096))
    up = get_format("I2_S")
    assert is_ternary(up)
    codes, scale = up.unpack_codes(model.weights.layers[0]["up"].data, 4096, 256)
    shares = [float((codes == code).mean()) for code in (-1, 0, 1)]
    # about a million codes: five standard errors of a share are 0.0025
    np.testing.assert_allclose(shares, [77 / 256, 102 / 256, 77 / 256], atol=0.0025)
    assert float(np.float16(scale[0, 0])) == scale[0, 0]
    size = float(scale[0, 0]) * np.sqrt(256 * 154 / 256)  # of an output when inputs have magnitude 1
    assert 0.9 <= size <= 1.1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"arch": "mamba"}, "the architecture 'mamba' is none of"),
        ({"weight_format": "I3_S"}, "no weight format is named 'I3_S'"),
        ({"weight_format": "I2_S_ARM"}, "has no type of its own in GGUF files"),
        ({"head_format": "I2_S"}, "the head format 'I2_S' is none of F32, F16, BF16"),
        ({"n_layer": 0}, "n_layer is 0"),
        ({"n_head": 3}, "3 heads do not divide the width 256"),
        ({"n_head_kv": 3}, "3 KV heads do not divide the 4 heads"),
        ({"n_vocab": 257}, "a vocabulary of 257 tokens cannot be made; it needs 258 to 493764"),
        ({"n_vocab": 493_765}, "a vocabulary of 493765 tokens cannot be made"),
        ({"rope_base": float("nan")}, "rope_base is nan"),
        ({"norm_eps": 0.0}, r"norm_eps is 0\.0"),
        ({"seed": -1}, "the seed is -1"),
    ],
)
def test_spec_that_cannot_be_is_told_and_nothing_written(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        make_model(tmp_path / "x.gguf", replace(ModelSpec(), **change))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_width_that_the_format_cannot_pack_is_a_shape_error(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="384 columns is not a multiple of its block of 256"):
        make_model(tmp_path / "x.gguf", ModelSpec(n_embd=384, weight_format="TQ2_0"))


def test_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x\.gguf: cannot be written: No such file"):
        make_model(tmp_path / "nowhere" / "x.gguf", ModelSpec())


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_model(tmp_path / "x.gguf", ModelSpec(), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == ((tmp_path / "x.gguf").stat().st_size,) * 2


@pytest.mark.parametrize("n_vocab", [258, 512, 20_000])
def test_vocabulary_is_one_that_bpe_can_use(n_vocab: int) -> None:
    vocabulary = make_vocabulary(n_vocab)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.types) == n_vocab
    known = set(vocabulary.tokens)
    for merge in vocabulary.merges:
        first, second = merge.split(" ")
        assert {first, second, first + second} <= known


def test_tokenizer_reads_the_vocabulary_and_uses_its_merges(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(made(tmp_path, ModelSpec(n_layer=1)).metadata)
    text = "the rest of the note, na\u00efve \U0001f600\n"
    ids = tokenizer.encode(text, add_bos=True, parse_special=False)
    assert ids[0] == 510
    assert tokenizer.decode(ids[1:]) == text
    assert len(ids) < len(text.encode())


@pytest.mark.parametrize("arch", ["bitnet", "llama"])
@pytest.mark.parametrize("weight_format", ["F32", "F16", "BF16", "TQ1_0", "TQ2_0"])
def test_llama_cpp_runs_it(
    tmp_path: Path, arch: str, weight_format: str, pytestconfig: pytest.Config
) -> None:
    require_engine(pytestconfig, "llama.cpp")
    import llama_cpp

    make_model(tmp_path / "x.gguf", ModelSpec(arch, weight_format=weight_format))
    llama = llama_cpp.Llama(str(tmp_path / "x.gguf"), n_ctx=64, n_threads=1, logits_all=True, verbose=False)
    tokens = llama.tokenize(b"the rest of the note", add_bos=True)
    llama.eval(tokens)
    logits = np.array(llama.scores[: len(tokens)])
    llama.close()
    assert np.isfinite(logits).all()
    assert 1 < logits.std() < 4  # 2 is what the embedding's magnitude is made for
    assert not np.array_equal(logits.argmax(axis=1), tokens)  # a tied head does not just repeat its input
