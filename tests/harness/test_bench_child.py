"""A stopwatch in a child: the same answers, and an engine that ends its process is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bitparity.bench.child import ChildTimer
from bitparity.bench.lane import Lane
from bitparity.errors import BadInput, EngineFailed
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.model.types import Model
from bitparity.registry import get_engine
from bitparity.settings import read_settings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "m.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return open_model(path)


@contextmanager
def started(engine: Any, model: Model) -> Iterator[ChildTimer]:
    child = ChildTimer(
        Lane(engine.name, engine, model), context=16, settings=read_settings(), threads=1, time_limit=60.0
    )
    with closing(child) as timer:
        timer.load()
        yield timer


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return import_module("fake_bench_engines").FailingEngine


def test_child_runs_every_call_in_another_process(model: Model) -> None:
    with started(get_engine("oracle"), model) as timer:
        assert timer.fingerprint()["engine"] == "oracle"
        assert timer.prefill([1, 2, 3]) > 0.0
        assert timer.decode([1, 2, 3, 4], 2) > 0.0
        assert timer.load() > 0.0
        peak = timer.peak_memory()
        assert timer.worker.process_id != os.getpid()
        assert peak is None or peak > model.path.stat().st_size


@pytest.mark.parametrize(
    ("way", "said"), [("abort", r"abort aborted \(SIGABRT\)"), ("leave", "leave exited with code 7")]
)
def test_child_that_ends_is_a_failed_engine(way: str, said: str, model: Model, failing: Any) -> None:
    with started(failing(way), model) as timer, pytest.raises(EngineFailed, match=said):
        timer.prefill([1])


def test_error_of_the_engine_crosses_over_and_the_child_goes_on(model: Model, failing: Any) -> None:
    with started(failing("refuse"), model) as timer:
        for _ in range(2):
            with pytest.raises(BadInput, match="too many tokens"):
                timer.prefill([1])
    with started(failing("raise"), model) as timer, pytest.raises(EngineFailed, match=r"ValueError.*a bug"):
        timer.prefill([1])


def test_child_is_gone_after_close(model: Model) -> None:
    with started(get_engine("oracle"), model) as timer:
        process_id = timer.worker.process_id
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
