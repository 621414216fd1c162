"""libbitnet: its exports, handles and errors."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from bitparity.model.bundled import bundled_model
from bitparity_native.library import library_path
from native.bitnet_library import (
    ALL,
    BAD_INPUT,
    CLOSED,
    LAST,
    LIB,
    Function,
    ModelInfo,
    SessionConfig,
    checked,
    declared_functions,
    ids_of,
    last_error,
    load_model,
    model_info,
    open_session,
)

ENGINE_FUNCTIONS = "open n_vocab forward forward_last close version error about tokenize detokenize tap"
ENGINE_H = {f"bitparity_{name}" for name in ENGINE_FUNCTIONS.split()}
TOKENS = [5, 17, 3, 200, 44, 9, 121, 80]


# ------------------------------------------------------------------------------------- exports and versions


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm to list the exports")
def test_exports_are_what_the_headers_declare() -> None:
    command = ["nm", "-D", "--defined-only", str(library_path())]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line.split()[-1] for line in lines} == {f.name for f in declared_functions()} | ENGINE_H


def test_versions_are_those_of_the_distribution_and_the_header() -> None:
    from importlib.metadata import version

    assert LIB.bitnet_version().decode() == version("bitparity")
    assert LIB.bitnet_abi_version() == 1
    assert LIB.bitnet_init(1) == 0
    assert LIB.bitnet_init(2) == BAD_INPUT
    assert "ABI 2" in last_error()


# ------------------------------------------------------------------------------------------------- handles


def _call(function: Function, first: int | None) -> Any:
    """With that handle, and null or 0 for every other argument."""
    rest = [None if "*" in a or a.endswith("_function") else 0 for a in function.arguments[1:]]
    return getattr(LIB, function.name)(first, *rest)


WITH_HANDLE = [function for function in declared_functions() if function.takes_handle]
WITH_POINTER = [f for f in declared_functions() if not f.takes_handle and "*" in "".join(f.arguments[:1])]


@pytest.mark.parametrize("function", WITH_HANDLE, ids=lambda function: function.name)
def test_null_and_closed_handles_are_found_out(model: int, function: Function) -> None:
    closed_session, session = (open_session(model, context=8, threads=1) for _ in range(2))
    LIB.bitnet_session_free(closed_session)
    of_another_kind = model if "session" in function.arguments[0] else session
    for handle in (None, closed_session, 0xDEADBEEF, of_another_kind):
        result = _call(function, handle)
        if function.result.endswith("*"):
            assert result is None
        elif function.result != "void":
            assert result == CLOSED
            assert last_error().startswith(f"{function.name}: the ")
    LIB.bitnet_session_free(session)


@pytest.mark.parametrize("function", WITH_POINTER, ids=lambda function: function.name)
def test_null_gives_nothing_and_does_no_harm(function: Function) -> None:
    """No model of no path, no failure of an empty batch, and nothing is written through a null pointer."""
    assert not _call(function, None)
    if function.result.endswith("*"):
        assert last_error().startswith(f"{function.name}: ")


def test_session_outlives_its_model_and_freeing_twice_does_nothing() -> None:
    handle = load_model(bundled_model())
    session = open_session(handle, context=8, threads=1)
    LIB.bitnet_model_free(handle)
    LIB.bitnet_model_free(handle)
    checked(LIB.bitnet_decode(session, 1))
    LIB.bitnet_session_free(session)
    LIB.bitnet_session_free(session)
    assert LIB.bitnet_decode(session, 1) == CLOSED


def test_last_error_is_that_of_the_thread() -> None:
    seen = []
    LIB.bitnet_position(None)
    thread = Thread(target=lambda: seen.append(last_error()))
    thread.start()
    thread.join()
    assert seen == [""]
    assert last_error() == "bitnet_position: the session is null"


def test_logits_that_were_not_kept_are_refused(session: int) -> None:
    n_vocab = 2048
    checked(LIB.bitnet_prefill(session, ids_of(TOKENS), 4, LAST))
    assert LIB.bitnet_logits(session, 3)
    assert LIB.bitnet_logits(session, 2) is None
    assert "position 2 are not kept" in last_error()
    checked(LIB.bitnet_decode(session, 1))
    assert LIB.bitnet_logits(session, 3) is None
    checked(LIB.bitnet_rollback(session, 4))
    assert LIB.bitnet_logits(session, 4) is None
    assert LIB.bitnet_copy_logits(session, 3, None, n_vocab) == BAD_INPUT


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "no tokens"),
        ([1, 99999], "token id 99999 at offset 1"),
        ([-1], "token id -1 at offset 0"),
        ([1] * 129, "129 tokens at position 0 do not fit the context of 128"),
    ],
)
def test_tokens_that_cannot_be_run_change_nothing(session: int, ids: list[int], words: str) -> None:
    assert LIB.bitnet_prefill(session, ids_of(ids), len(ids), ALL) == BAD_INPUT
    assert words in last_error()
    assert LIB.bitnet_position(session) == 0
    assert LIB.bitnet_rollback(session, 1) == BAD_INPUT
    checked(LIB.bitnet_decode(session, 1))
    held = ids_of([0])
    assert LIB.bitnet_session_tokens(session, held, 1) == 1
    assert list(held) == [1]


# ------------------------------------------------------------------------------------- models and their facts


def test_model_tells_what_the_file_says(model: int) -> None:
    from bitparity.model import open_model

    expected = open_model(bundled_model())
    info = model_info(model)
    for name in ("n_vocab", "n_layer", "n_embd", "n_head", "n_head_kv", "head_dim", "n_ff", "context_length"):
        assert getattr(info, name) == getattr(expected.hyper, name), name
    assert info.head_is_tied == expected.weights.head_is_tied
    assert info.n_tensors == len(expected.tensors)
    assert info.mapped_bytes == expected.path.stat().st_size
    assert LIB.bitnet_n_vocab(model) == expected.hyper.n_vocab
    assert LIB.bitnet_model_architecture(model).decode() == expected.hyper.arch
    text = ctypes.create_string_buffer(64)
    assert LIB.bitnet_model_metadata(model, b"tokenizer.ggml.model", text, 64) == len(text.value)
    assert text.value.decode() == expected.metadata["tokenizer.ggml.model"]
    assert LIB.bitnet_model_metadata(model, b"tokenizer.ggml.model", text, 2) == 4
    assert LIB.bitnet_model_metadata(model, b"no.such.key", text, 64) == BAD_INPUT


def test_structure_of_an_older_header_is_shorter(model: int) -> None:
    info = ModelInfo(size=8 + 3 * 4, n_head=-7)
    checked(LIB.bitnet_model_get_info(model, ctypes.byref(info)))
    assert (info.size, info.n_embd > 0, info.n_head) == (20, True, -7)
    unset = SessionConfig()
    assert LIB.bitnet_session_open(model, ctypes.byref(unset)) is None
    assert "size is not set" in last_error()


def test_device_that_does_not_exist_is_refused_with_those_that_do() -> None:
    assert LIB.bitnet_device_count() == 0
    cpu = LIB.bitnet_device_name(-1).decode()
    assert LIB.bitnet_device_name(0) is None
    with pytest.raises(AssertionError, match=r"device 3 does not exist: .* CPU only, which is device -1"):
        load_model(bundled_model(), device_id=3)
    assert cpu in last_error()


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"kernels": b"avx9"}, "'avx9'; there are "),
        ({"arithmetic": b"mlx"}, "begins with 'mlx'"),
        ({"arithmetic": b"llama.cpp/sse"}, "has 'sse'"),
    ],
)
def test_choice_that_does_not_exist_is_refused(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        load_model(bundled_model(), **choices)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"context": -1}, "a context of -1"),
        ({"context": 1 << 25}, "1 to 16,777,216"),
        ({"threads": 5000}, "5000"),
    ],
)
def test_session_that_cannot_be_is_refused(model: int, choices: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        open_session(model, **choices)


TOO_MANY_THREADS = """
import resource
from native.bitnet_library import LIB, load_model, open_session
from bitparity.model.bundled import bundled_model
model = load_model(bundled_model())
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + (500 << 20), -1))  # each thread asks for 8 MB of stack
open_session(model, context=8, threads=1000)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what is in use is read from Linux's /proc")
def test_threads_that_the_system_refuses_are_an_error() -> None:
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n{TOO_MANY_THREADS}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "AssertionError: bitnet_session_open: " in done.stderr, done.stderr
    assert done.returncode == 1


# ------------------------------------------------------------------------------------------------ wrong files


@pytest.fixture(scope="module")
def bundled_bytes() -> bytes:
    return bundled_model().read_bytes()


def test_truncated_files_are_reported(bundled_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    for size in (0, 3, 20, 24, 100, 1000, 50_000, len(bundled_bytes) // 2, len(bundled_bytes) - 1000):
        path.write_bytes(bundled_bytes[:size])
        assert LIB.bitnet_model_load(str(path).encode(), None) is None
        assert last_error().startswith("bitnet_model_load: cut.gguf: "), (size, last_error())


def test_damaged_headers_are_reported_or_read(bundled_bytes: bytes, tmp_path: Path) -> None:
    """Single bytes of the header changed: an answer, whatever it is, and no crash."""
    path = tmp_path / "damaged.gguf"
    random = np.random.default_rng(0)
    refused = 0
    for at in [*range(0, 40), *random.integers(40, 120_000, 150)]:
        damaged = bytearray(bundled_bytes)
        damaged[at] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        handle = LIB.bitnet_model_load(str(path).encode(), None)
        refused += handle is None
        LIB.bitnet_model_free(handle)
    assert refused > 20


def test_no_file_and_other_files_are_reported(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none", "no such file"),
        (tmp_path, "is not a file"),
        (Path(__file__), '\'"""l\''),
    ):
        assert LIB.bitnet_model_load(str(path).encode(), None) is None
        assert words in last_error()


def test_architecture_that_native_does_not_run_is_refused(bundled_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(bundled_bytes.replace(b"general.architecture", b"general.Architecture", 1))
    assert LIB.bitnet_model_load(str(path).encode(), None) is None
    assert "general.architecture is missing" in last_error()
