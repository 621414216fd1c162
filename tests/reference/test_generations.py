"""bitnet.cpp of either generation, told by the build and not by its name; the bridge and mixed headers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bitparity.choose import choose_model
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import text_prompt
from bitparity.compare.run import compare_engines
from bitparity.model import open_model
from bitparity.noise.verdict import Verdict
from bitparity.registry import get_engine
from bitparity.settings import read_settings
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.build import find_compiler, source_dir
from bitparity_reference.build_facts import facts_of
from bitparity_reference.discover import find_bitnet_cpp
from bitparity_reference.llama_cpp import LlamaCppEngine
from bitparity_reference.llama_engine import LlamaEngine


@pytest.fixture
def newer_tree(llama_cpp: LlamaCppEngine) -> Path:
    """A tree as bitnet.cpp's since July 2026: newer llama.h, libraries in build/bin, libggml-cpu apart.

    It lies in the cache folder, so that the bridge to it, which has its path, is compiled once.
    """
    library = llama_cpp.find()
    tree = read_settings().cache_dir / "tests" / f"newer-{library.digest[:16]}"
    headers, build = tree / "3rdparty/llama.cpp", tree / "build/bin"
    for folder in (headers / "ggml", build):
        folder.mkdir(parents=True, exist_ok=True)
    (tree / "setup_env.py").touch()
    links = {headers / "include": library.include_dirs[0], headers / "ggml/include": library.include_dirs[0]}
    links |= {build / file.name: file.resolve() for file in library.computing}
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return tree


@pytest.fixture
def newer(newer_tree: Path, monkeypatch: pytest.MonkeyPatch) -> BitnetCppEngine:
    monkeypatch.setenv("BITNET_CPP_DIR", str(newer_tree))
    return BitnetCppEngine()


def test_newer_tree_is_told_by_its_header_and_types(newer_tree: Path) -> None:
    facts = facts_of(find_bitnet_cpp(newer_tree))
    assert facts.generation == "llama.cpp"
    assert facts.architectures == ("bitnet", "llama", "qwen3", "gemma3")
    assert {"F16", "TQ1_0", "TQ2_0"} <= facts.weight_formats
    assert "I2_S" not in facts.weight_formats


def test_older_tree_is_told_by_its_header_and_types(bitnet_cpp: BitnetCppEngine) -> None:
    facts = facts_of(bitnet_cpp.find())
    assert facts.generation == "bitnet.cpp"
    assert {"bitnet", "bitnet-25", "bitnet-b1.58", "llama"} <= set(facts.architectures)
    assert {"I2_S", "TQ2_0"} <= facts.weight_formats


def test_newer_tree_gets_a_bundled_model_that_it_runs_and_agrees(newer: BitnetCppEngine) -> None:
    native = get_engine("native")
    model = open_model(choose_model(None, [newer, native]))
    assert "I2_S" not in model.format_counts()
    result = compare_engines(
        Comparison(
            reference=Side(newer, model),
            candidate=Side(native, model),
            prompts=[text_prompt("A list of 12 items")],
            settings=read_settings(),
            threads=1,
        ),
        blame=True,
    )
    assert result.verdict is Verdict.AGREE
    assert result.reference["details"]["arithmetic"].startswith("llama.cpp/")
    assert result.blame is not None
    assert not result.blame["guilty"]


def test_newer_tree_refuses_what_its_build_does_not_have(newer: BitnetCppEngine) -> None:
    assert newer.refusal("bitnet", {"I2_S", "F32"}) == "bitnet.cpp does not run weights in I2_S"
    assert (
        newer.refusal("bitnet-b1.58", {"F16"})
        == "bitnet.cpp runs bitnet, gemma3, llama, qwen3, not bitnet-b1.58"
    )


def test_build_is_examined_for_its_activation_and_layout(engine: LlamaEngine) -> None:
    found = engine.examined()
    assert found["activation"].startswith("bitnet SiLU")
    if engine.name == "bitnet.cpp":
        assert found["activation"] == "bitnet SiLU, bitnet-25 ReLU², bitnet-b1.58 ReLU²"
        assert found["I2_S layout"].startswith("I2_S")
    else:
        assert "I2_S layout" not in found


_CALLBACK = "typedef {0} (*ggml_backend_sched_eval_callback)(struct ggml_tensor * t, {0} ask"
# fork -> what its headers have, and in whose place
_MIXTURES: dict[str, list[tuple[str, str]]] = {
    "upstream": [],
    "callback-answers-int": [(_CALLBACK.format("int"), _CALLBACK.format("bool"))],
    "tokenizer-takes-the-model": [
        (
            f"llama_{name}(\n        const struct llama_model * vocab",
            f"llama_{name}(\n        const struct llama_vocab * vocab",
        )
        for name in ("tokenize", "detokenize")
    ],
    "size-takes-the-model": [
        ("llama_n_vocab_of", "llama_vocab_n_tokens"),
        (
            "int32_t llama_n_vocab    (const struct llama_model * vocab",
            "int32_t llama_n_vocab    (const struct llama_vocab * vocab",
        ),
    ],
}


@pytest.mark.parametrize("fork", list(_MIXTURES))
def test_bridge_compiles_against_mixtures_of_the_two_headers(
    fork: str, llama_cpp: LlamaCppEngine, tmp_path: Path
) -> None:
    headers = {h.name: h.read_text() for h in llama_cpp.find().include_dirs[0].glob("*.h")}
    for new, old in _MIXTURES[fork]:
        assert any(old in text for text in headers.values()), old
        headers = {name: text.replace(old, new) for name, text in headers.items()}
    for name, text in headers.items():
        (tmp_path / name).write_text(text)
    source = str(source_dir() / "session.cpp")
    command = [find_compiler(), "-std=c++20", "-fsyntax-only", f"-I{tmp_path}", source]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
