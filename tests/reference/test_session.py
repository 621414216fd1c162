"""A reference's session keeps the engine contract."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from bitparity.engine import Floats, ModelInfo
from bitparity.errors import BadInput, EngineFailed
from bitparity.model import open_model
from bitparity.settings import read_settings
from bitparity.worker.session import WorkerSession
from bitparity.worker.shared_memory import SharedMemory, new_memory
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.build import build_bridge
from bitparity_reference.llama_cpp import LlamaCppEngine
from bitparity_reference.llama_engine import LlamaEngine
from bitparity_reference.session import open_bridge

TOKENS = [(i * 37) % 256 for i in range(24)]
BOTH = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_0", "Q4_0", "Q4_1", "Q4_K", "Q3_K", "TQ1_0", "TQ2_0")
RUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "llama.cpp": {arch: (*BOTH, "Q2_0", "Q1_0") for arch in ("bitnet", "llama", "qwen3", "gemma3")},
    "bitnet.cpp": {arch: (*BOTH, "I2_S") for arch in ("bitnet", "bitnet-25", "bitnet-b1.58", "llama")},
}


def test_session_prefill_last_is_the_last_row_of_all(session: WorkerSession) -> None:
    every = session.prefill(TOKENS)
    assert every.shape == (24, 512)
    assert every.dtype == np.float32
    assert np.isfinite(every).all()
    session.rollback(0)
    last = session.prefill(TOKENS, logits="last")
    assert last.shape == (1, 512)
    # One row goes through another kernel than many do, so the two differ by the engine's noise, which is 3 %
    # at most for bitnet.cpp; two different rows differ by 140 %.
    assert np.linalg.norm(last[0] - every[-1]) < 0.1 * np.linalg.norm(every[-1])


def test_session_logits_in_shared_memory_are_those_that_travel(
    engine: LlamaEngine, model_file: Callable[..., Path]
) -> None:
    path = model_file(arch="bitnet", weight_format="TQ2_0", n_vocab=8000)
    session = engine.open(path, context=600, threads=2)
    tokens = [(i * 37) % 8000 for i in range(600)]
    shared = session.prefill(tokens)
    session.rollback(0)
    travelled = [session.prefill(tokens[:512]), session.prefill(tokens[512:])]  # the bridge's own chunks
    assert isinstance(new_memory(shared.nbytes), SharedMemory)
    assert not any(isinstance(new_memory(part.nbytes), SharedMemory) for part in travelled)
    assert np.array_equal(shared, np.concatenate(travelled))
    session.close()
    assert np.isfinite(shared).all()  # its memory outlives the worker


def test_session_rollback_forgets_what_followed(session: WorkerSession) -> None:
    session.prefill(TOKENS)
    expected = session.decode(7)
    session.decode(8)
    session.rollback(24)
    assert session.position == 24
    session.prefill([9, 10])
    session.rollback(24)
    assert np.array_equal(session.decode(7), expected)


def test_session_logits_of_a_position_do_not_see_later_tokens(session: WorkerSession) -> None:
    every = session.prefill(TOKENS)
    session.rollback(0)
    changed = session.prefill([*TOKENS[:-1], 3])
    assert np.array_equal(every[:-1], changed[:-1])
    assert not np.array_equal(every[-1], changed[-1])


def test_session_prompt_of_several_chunks_fills_every_row(session: WorkerSession) -> None:
    tokens = [(i * 53) % 256 for i in range(1030)]
    every = session.prefill(tokens)
    session.rollback(1029)
    # as above
    assert np.linalg.norm(session.decode(tokens[-1]) - every[-1]) < 0.1 * np.linalg.norm(every[-1])
    assert len(np.unique(every, axis=0)) == 1030


@pytest.mark.parametrize("threads", [1, 2])
def test_bitnet_cpp_multiplies_many_rows_by_many_tokens_without_running_over_its_stack(
    engine: LlamaEngine, model_file: Callable[..., Path], threads: int
) -> None:
    if engine.name != "bitnet.cpp":
        pytest.skip(f"{engine.name} has no I2_S, whose products bitnet.cpp keeps on the stack")
    path = model_file(arch="bitnet-b1.58", weight_format="I2_S", n_layer=1, n_ff=16384)
    session = engine.open(path, context=400, threads=threads)
    logits = session.prefill([(i * 37) % 512 for i in range(400)])  # 26 MB of products
    session.close()
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([], "no tokens"),
        ([1, 512], "token 1 has id 512; the vocabulary has 512 ids"),
        ([-1], "token 0 has id -1"),
        ([0] * 1101, "1101 tokens at position 0 end at 1101, beyond the session's context of 1100"),
    ],
)
def test_session_refuses_tokens_it_cannot_run(
    session: WorkerSession, tokens: Sequence[int], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        session.prefill(tokens)
    assert session.position == 0


def test_session_rollback_beyond_its_position_is_refused(session: WorkerSession) -> None:
    session.prefill([1, 2])
    for to in (-1, 3):
        with pytest.raises(BadInput, match=f"cannot roll back to position {to}; the session is at 2"):
            session.rollback(to)


def test_session_tokenizes_and_back(session: WorkerSession) -> None:
    text = "Hello, wörld <|end_of_text|>\n"
    plain = session.tokenize(text, add_bos=False, parse_special=False)
    with_bos = session.tokenize(text, add_bos=True, parse_special=False)
    assert with_bos[1:] == plain
    assert session.detokenize(plain) == text
    assert len(session.tokenize(text, add_bos=False, parse_special=True)) < len(plain)
    assert session.tokenize("", add_bos=False, parse_special=False) == []


def test_session_info_is_the_model_and_the_library(session: WorkerSession, engine: LlamaEngine) -> None:
    info = session.info
    assert (info.n_vocab, info.n_layer, info.n_head_kv, info.context) == (512, 2, 2, 1100)
    assert info.weight_formats["TQ2_0"] == 14
    fingerprint = info.fingerprint
    assert fingerprint.engine == engine.name
    assert fingerprint.isa
    assert fingerprint.compiler != "unknown"
    assert fingerprint.details["libraries"] == engine.find().digest[:16]


def test_session_repeats_itself_bit_for_bit(engine: LlamaEngine, model_file: Callable[..., Path]) -> None:
    runs: list[Floats] = []
    for threads in (1, 2):
        session = engine.open(model_file(weight_format="TQ2_0"), context=64, threads=threads)
        runs.append(session.prefill(TOKENS[:8]))
        session.close()
    first, second = runs
    assert np.array_equal(first, second)


def test_engine_runs_each_arch_and_format_it_claims(
    engine: LlamaEngine, model_file: Callable[..., Path]
) -> None:
    claimed = {arch: set(engine.weight_formats) for arch in engine.graphs}
    assert {arch: set(formats) for arch, formats in RUNS[engine.name].items()} == claimed
    for arch, formats in RUNS[engine.name].items():
        for weight_format in formats:
            path = model_file(arch=arch, weight_format=weight_format)
            session = engine.open(path, context=32, threads=1)
            logits = session.prefill(TOKENS)
            session.close()
            assert np.isfinite(logits).all(), (arch, weight_format)
            assert logits.std() > 0.1, (arch, weight_format)


def test_refusal_names_what_is_not_run() -> None:
    llama, bitnet = LlamaCppEngine(), BitnetCppEngine()
    assert llama.refusal("bitnet", {"F16", "TQ2_0", "F32"}) is None
    assert bitnet.refusal("bitnet-b1.58", {"I2_S", "F32", "F16"}) is None
    assert llama.refusal("bitnet", {"I2_S", "F32"}) == "llama.cpp does not run weights in I2_S"
    assert (
        llama.refusal("bitnet-b1.58", {"F32"})
        == "llama.cpp runs bitnet, gemma3, llama, qwen3, not bitnet-b1.58"
    )
    assert bitnet.refusal("bitnet", {"TL1", "TL2"}) == "bitnet.cpp does not run weights in TL1, TL2"


def test_engine_refuses_a_model_or_device_it_does_not_run(
    llama_cpp: LlamaCppEngine, model_file: Callable[..., Path]
) -> None:
    with pytest.raises(BadInput, match="does not run weights in I2_S"):
        llama_cpp.open(model_file(weight_format="I2_S"), context=8, threads=1)
    runnable = model_file(weight_format="TQ2_0")
    with pytest.raises(BadInput, match=r"has no device 0; its build found none and runs on the CPU"):
        llama_cpp.open(runnable, context=8, threads=1, device_id=0)


def test_engine_model_that_does_not_load_quotes_the_loader(
    engine: LlamaEngine, model_file: Callable[..., Path], tmp_path: Path
) -> None:
    whole = model_file(arch="llama", weight_format="F16")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(whole.read_bytes().replace(b"llama-bpe", b"lorem-bpe"))
    with pytest.raises(BadInput, match=r"cannot load it: .*unknown pre-tokenizer type: 'lorem-bpe'"):
        open_past_the_checks(engine, whole, broken)


def test_engine_model_that_makes_it_abort_is_exit_5_with_the_assertion(
    engine: LlamaEngine, model_file: Callable[..., Path], tmp_path: Path
) -> None:
    whole = model_file(arch="llama", weight_format="F16")
    content = bytearray(whole.read_bytes())
    key = b"llama.attention.layer_norm_rms_epsilon"
    struct.pack_into("<f", content, content.index(key) + len(key) + 4, -1.0)
    broken = tmp_path / "negative-epsilon.gguf"
    broken.write_bytes(content)
    with pytest.raises(
        EngineFailed, match=r"aborted \(SIGABRT\); its last words: .*GGML_ASSERT\(eps >=? 0.0f\)"
    ):
        open_past_the_checks(engine, whole, broken).prefill([1, 2])


def open_past_the_checks(engine: LlamaEngine, whole: Path, broken: Path) -> WorkerSession:
    """Open a file that the harness itself would refuse, under the description of the whole one."""
    library = engine.find()
    info = ModelInfo.of(open_model(whole), 8, engine.fingerprint(library, 1))
    arguments = {
        "bridge": build_bridge(library, read_settings().cache_dir),
        "model": broken,
        "context": 8,
        "threads": 1,
        "info": info,
        "nodes": engine.graphs["llama"],
    }
    return WorkerSession(engine.name, open_bridge, arguments)
