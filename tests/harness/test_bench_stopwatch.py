"""What the stopwatch runs on a session, whose seconds it takes, and the memory it reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.bench.bandwidth import ReadBandwidth, last_level_cache
from bitparity.bench.stopwatch import Stopwatch, peak_memory
from bitparity.compare.chunking import LARGEST_PREFILL
from bitparity.engine import Floats
from bitparity.errors import EngineFailed
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.settings import read_settings

TOKENS = [i % 7 for i in range(LARGEST_PREFILL + 10)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "m.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=1024))
    return open_model(path)


class Opened:
    """A fake engine that remembers its sessions."""

    def __init__(self, engine: Any, **said: Any) -> None:
        self._engine, self._said = engine, said
        self.sessions: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def open(self, *arguments: Any, **options: Any) -> Any:
        session = self._engine.open(*arguments, **options)
        vars(session).update(self._said)
        self.sessions.append(session)
        return session


def start(model: Model, engine: Any, **said: Any) -> tuple[Stopwatch, Opened]:
    opened = Opened(engine, **said)
    watch = Stopwatch(opened, model, context=1024, settings=read_settings(), threads=1)
    watch.load()
    return watch, opened


def test_decode_fills_the_cache_once_and_runs_the_tokens_after_it(model: Model, fake_engine: Any) -> None:
    watch, opened = start(model, fake_engine())
    for _ in range(3):
        watch.decode(TOKENS[:8], 6)
        assert opened.sessions[0].tokens == TOKENS[:8]
    assert opened.sessions[0].calls == [("prefill", 6)] + [("decode", 1)] * 6


def test_deep_cache_is_filled_in_chunks(model: Model, fake_engine: Any) -> None:
    watch, opened = start(model, fake_engine())
    watch.decode(TOKENS, len(TOKENS) - 1)
    assert opened.sessions[0].calls == [("prefill", LARGEST_PREFILL), ("prefill", 9), ("decode", 1)]


def test_cache_of_other_tokens_is_filled_anew(model: Model, fake_engine: Any) -> None:
    watch, opened = start(model, fake_engine())
    watch.prefill([6, 5, 4, 3])
    watch.decode(TOKENS[:4], 3)
    assert opened.sessions[0].tokens == TOKENS[:4]


def test_prefill_begins_with_an_empty_cache(model: Model, fake_engine: Any) -> None:
    watch, opened = start(model, fake_engine())
    for _ in range(2):
        watch.prefill(TOKENS[:5])
    assert opened.sessions[0].tokens == TOKENS[:5]


def test_load_closes_the_session_before(model: Model, fake_engine: Any) -> None:
    watch, opened = start(model, fake_engine())
    watch.load()
    assert [session.calls for session in opened.sessions] == [[("close", 0)], []]


def test_seconds_that_a_session_says_of_itself_count(model: Model, fake_engine: Any) -> None:
    watch, _ = start(model, fake_engine(), call_seconds=123.0)
    assert watch.load() == 123.0
    assert watch.prefill(TOKENS[:2]) == 123.0
    assert watch.decode(TOKENS[:4], 2) == 246.0


def test_seconds_of_a_session_in_this_process_are_those_of_its_calls(
    model: Model, fake_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def one_second(position: int, row: Floats) -> Floats:
        clock[0] += 1.0
        return row

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    watch, _ = start(model, fake_engine(alter=one_second))
    assert watch.prefill(TOKENS[:4]) == 4.0
    assert watch.decode(TOKENS[:9], 7) == 2.0  # filling the cache is not timed


def test_stopwatch_before_load_says_so(model: Model, fake_engine: Any) -> None:
    watch = Stopwatch(fake_engine(), model, context=8, settings=read_settings(), threads=1)
    with pytest.raises(EngineFailed, match="has no session open"):
        watch.prefill([1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells peak memory in /proc")
def test_peak_memory_keeps_what_was_freed() -> None:
    size = 2**27
    before = peak_memory(os.getpid())
    held = np.ones(size, np.uint8)
    del held
    after = peak_memory(os.getpid())
    assert before is not None
    assert after is not None
    assert after >= max(before, size)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells peak memory in /proc")
def test_peak_memory_is_that_of_the_process_that_holds_the_session(model: Model, fake_engine: Any) -> None:
    watch, _ = start(model, fake_engine(), process_id=os.getppid())
    assert watch.peak_memory() == peak_memory(os.getppid())
    assert peak_memory(2**30) is None  # no such process


def test_bandwidth_is_positive_and_its_buffer_larger_than_the_cache() -> None:
    with ReadBandwidth(size=2**22) as bandwidth:
        assert bandwidth() > 0.0
    with ReadBandwidth() as bandwidth:
        assert bandwidth.size >= 4 * (last_level_cache() or 1)


def test_last_level_cache_is_the_largest(tmp_path: Path) -> None:
    for index, size in enumerate(("32K", "1024K", "32M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert last_level_cache(tmp_path) == 32 * 2**20
    assert last_level_cache(tmp_path / "none") is None
