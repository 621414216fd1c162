"""bitnet.cpp built with kernels of TL2: what it runs, and that native computes the same, token by token."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.formats.table_lookup import Tiling, Tilings, kernel_config_of, read_kernel_config
from bitparity.model import open_model
from bitparity.model.checks import check_model
from bitparity.model.convert import convert
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.noise.verdict import Verdict
from bitparity.registry import get_engine
from bitparity.settings import read_settings
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.build_facts import facts_of
from bitparity_reference.discover import Library
from bitparity_reference.table_lookup import shape_without_kernel

# The shapes of a model of width 512 with four of eight KV heads and 1,024 feed-forward columns.
_TILINGS: Tilings = {
    shape: Tiling(256, 96, 32) for shape in ((512, 512), (256, 512), (1024, 512), (512, 1024))
}


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    spec = ModelSpec("bitnet", n_embd=512, n_head=8, n_head_kv=4, n_ff=1024, n_vocab=600, weight_format="F16")
    make_model(tmp_path / "f16.gguf", spec)
    convert(tmp_path / "f16.gguf", tmp_path / "tl2.gguf", "TL2", tilings=_TILINGS)
    (tmp_path / "kernel_config.ini").write_text(kernel_config_of(_TILINGS))
    return tmp_path / "tl2.gguf"


def build_of(root: Path, tilings: Tilings | None, **options: str) -> Library:
    """A tree with headers that list TL2, and the kernels of these tilings; nothing that could be run."""
    (root / "include").mkdir(parents=True)
    (root / "include/ggml.h").write_text("    GGML_TYPE_F16 = 1,\n    GGML_TYPE_TL2 = 39,\n")
    (root / "libllama.so").write_bytes(b"bitnet\0")
    if tilings is not None:
        (root / "include/kernel_config.ini").write_text(kernel_config_of(tilings))
    return Library("bitnet.cpp", root, (root / "include",), (root / "libllama.so",), "", options)


@pytest.mark.parametrize(("option", "runs"), [("ON", {"F16", "TL2"}), ("OFF", {"F16"})])
def test_build_runs_tl2_if_it_was_configured_so(tmp_path: Path, option: str, runs: set[str]) -> None:
    library = build_of(tmp_path / option, _TILINGS, BITNET_X86_TL2=option)
    assert facts_of(library).weight_formats == runs


def test_model_whose_kernels_are_built_is_taken(tmp_path: Path, model_file: Path) -> None:
    assert shape_without_kernel(build_of(tmp_path / "build", _TILINGS), open_model(model_file)) is None


def test_model_without_table_lookup_needs_no_kernels(tmp_path: Path, model_file: Path) -> None:
    model = open_model(model_file.with_name("f16.gguf"))
    assert shape_without_kernel(build_of(tmp_path / "build", None), model) is None


@pytest.mark.parametrize(
    ("tilings", "says"),
    [
        (None, "for are not known: .*kernel_config.ini is missing"),
        (
            {(512, 1024): _TILINGS[512, 1024]},
            "for weights of 512 x 1024, and blk.0.attn_q.weight is 512 x 512",
        ),
        (
            {shape: Tiling(128, 96, 32) for shape in _TILINGS},
            r"blk.0.attn_q.weight was packed for Tiling\(rows=256.*was built with Tiling\(rows=128",
        ),
    ],
)
def test_what_is_missing_for_a_model_is_told(
    tmp_path: Path, model_file: Path, tilings: Tilings | None, says: str
) -> None:
    missing = shape_without_kernel(build_of(tmp_path / "build", tilings), open_model(model_file))
    assert re.search(says, str(missing))


def test_batches_that_bitnet_cpp_computes_wrongly_are_told_before_the_run(model_file: Path) -> None:
    found = check_model(open_model(model_file), engines=["bitnet.cpp"])
    assert [f.sentence for f in found if "compare with --chunks decode" in f.sentence]
    assert not check_model(open_model(model_file), engines=["native"])


def test_native_agrees_with_a_build_of_bitnet_cpp_token_by_token_with_every_stage_equal(
    bitnet_cpp: BitnetCppEngine, model_file: Path
) -> None:
    library = bitnet_cpp.find()
    config = library.root / "include/kernel_config.ini"
    if "TL2" not in facts_of(library).weight_formats:
        pytest.skip("this bitnet.cpp was built without BITNET_X86_TL2")
    built = read_kernel_config(config) if config.is_file() else {}
    if not all(built.get(shape) == tiling for shape, tiling in _TILINGS.items()):
        pytest.skip(f"its kernels are for other shapes or tiles than {sorted(_TILINGS)}")
    model = open_model(model_file)
    result = compare_engines(
        Comparison(
            reference=Side(bitnet_cpp, model),
            candidate=Side(get_engine("native"), model),
            prompts=[Prompt(tokens=tuple(int(i) for i in np.random.default_rng(0).integers(0, 600, 12)))],
            settings=read_settings(),
            chunking=Chunking.parse("decode"),
            threads=1,
        ),
        blame=True,
    )
    assert result.verdict is Verdict.AGREE
    assert result.blame is not None
    assert not result.blame["guilty"]
