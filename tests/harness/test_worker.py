"""Whatever happens in a worker, the parent gets an answer or an EngineFailed that says what it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bitparity.engine import StageValue
from bitparity.errors import BadInput, EngineFailed
from bitparity.stages import StageFilter
from bitparity.worker.session import WorkerSession

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def fakes_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def open_fake(name: str = "open_fake") -> WorkerSession:
    return WorkerSession("fake", getattr(import_module("fake_sessions"), name), {}, time_limit=60.0)


@pytest.fixture
def worker() -> Iterator[WorkerSession]:
    session = open_fake()
    yield session
    session.close()


def test_worker_runs_in_another_process(worker: WorkerSession) -> None:
    pid, *rest = worker.tokenize("abc", add_bos=True, parse_special=False)
    assert pid == worker.process_id != os.getpid()
    assert rest == [1, 0, 3]


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="not Linux")
def test_worker_is_the_first_to_go_when_memory_runs_out(worker: WorkerSession) -> None:
    assert Path(f"/proc/{worker.process_id}/oom_score_adj").read_text().strip() == "1000"


def test_worker_info_position_and_rollback_cross_over(worker: WorkerSession) -> None:
    assert worker.info.n_vocab == 4
    assert worker.prefill([3, 1]).tolist() == [[3.0] * 4, [1.0] * 4]
    assert worker.position == 2
    worker.rollback(1)
    assert worker.position == 1
    assert worker.detokenize([1, 2]) == "1,2"


def test_worker_tells_what_a_call_took_without_its_transport(worker: WorkerSession) -> None:
    opening = worker.call_seconds
    started = time.perf_counter()
    worker.prefill([0] * 1000)
    assert 0.0 < worker.call_seconds < time.perf_counter() - started
    assert opening > 0.0


def test_worker_large_array_arrives_whole_and_writable(worker: WorkerSession) -> None:
    tokens = [i % 4 for i in range(1_000_000)]
    logits = worker.prefill(tokens)
    assert np.array_equal(logits[:, 3], np.asarray(tokens, np.float32))
    logits[0, 0] = 5.0


def test_worker_stages_arrive_before_the_logits_and_only_while_tapped(worker: WorkerSession) -> None:
    got: list[StageValue] = []
    worker.prefill([1])
    with worker.tap(StageFilter.parse("ffn_out"), got.append):
        worker.prefill([2, 3])
        assert [(v.layer, v.stage, v.position) for v in got] == [(0, "ffn_out", 1)]
        assert got[0].values.tolist() == [[2.0, 2.0], [3.0, 3.0]]
    worker.prefill([1])
    assert len(got) == 1


def test_worker_second_tap_at_once_is_refused(worker: WorkerSession) -> None:
    everything = StageFilter.parse()
    with (
        worker.tap(everything, lambda value: None),
        pytest.raises(BadInput, match="tapped already"),
        worker.tap(everything, lambda value: None),
    ):
        pass


@pytest.mark.parametrize("error", [ValueError("no room"), OSError("disk full"), TimeoutError()])
def test_worker_survives_what_its_sink_raises(worker: WorkerSession, error: Exception) -> None:
    def sink(value: StageValue) -> None:
        raise error

    with pytest.raises(type(error)), worker.tap(StageFilter.parse(), sink):
        worker.prefill([1])
    assert worker.prefill([2]).tolist() == [[2.0] * 4]


@pytest.mark.parametrize(
    ("token", "how"),
    [
        (0, "aborted (SIGABRT)"),
        (1, "crashed (SIGSEGV)"),
        (2, "exited with code 7"),
        (7, "exited with code 7"),
        (6, "was killed (SIGKILL), as Linux does when memory runs out"),
    ],
)
def test_worker_death_is_named_with_its_last_words(worker: WorkerSession, token: int, how: str) -> None:
    with pytest.raises(EngineFailed) as caught:
        worker.decode(token)
    assert (caught.value.engine, caught.value.how, caught.value.last_words) == ("fake", how, "about to fail")
    assert caught.value.exit_code == 5
    with pytest.raises(EngineFailed):  # and for good
        worker.prefill([1])


def test_worker_death_while_opening_is_named() -> None:
    with pytest.raises(EngineFailed, match=r"fake aborted \(SIGABRT\)"):
        open_fake("open_crashing")


def test_worker_that_does_not_understand_its_opener_says_why(tmp_path: Path) -> None:
    module = tmp_path / "gone.py"
    module.write_text("def opener(): ...\n")
    sys.path.insert(0, str(tmp_path))
    import gone  # type: ignore[import-not-found]

    module.unlink()
    sys.path.remove(str(tmp_path))
    with pytest.raises(EngineFailed, match=r"exited with code 1; its last words: .*No module named 'gone'"):
        WorkerSession("fake", gone.opener, {})


def test_worker_that_hangs_is_killed() -> None:
    session = open_fake()
    session.worker.time_limit = 1.0  # not before it is open, which on a busy machine takes longer
    began = time.monotonic()
    with pytest.raises(EngineFailed, match="gave no answer in 1 s; its last words: about to fail"):
        session.decode(3)
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(session.process_id, 0)
    session.close()


def test_worker_error_of_the_session_is_raised_here(worker: WorkerSession) -> None:
    with pytest.raises(BadInput, match="token 9 is not in the vocabulary"):
        worker.decode(5)
    with pytest.raises(EngineFailed, match="raised ValueError; its last words: a bug"):
        worker.decode(4)
    assert worker.prefill([1]).shape == (1, 4)


def test_worker_opener_that_refuses_is_raised_here() -> None:
    with pytest.raises(BadInput, match="not to my taste"):
        open_fake("open_refusing")


def test_worker_closed_twice_then_used_says_so(worker: WorkerSession) -> None:
    worker.close()
    worker.close()
    with pytest.raises(EngineFailed, match="fake is closed"):
        worker.prefill([1])


SLEEPS = (
    "import fake_sessions\n"
    "from bitparity.worker.session import WorkerSession\n"
    "session = WorkerSession('fake', fake_sessions.open_fake, {})\n"
    "print(session.process_id, flush=True)\n"
    "session.decode(3)\n"
)
NEVER_ASKS = (
    "from bitparity.worker.process import WorkerProcess\n"
    "process = WorkerProcess()\n"
    "print(process.pid, flush=True)\n"
    "import time; time.sleep(60)\n"
)


@pytest.mark.parametrize("script", [SLEEPS, NEVER_ASKS])
def test_worker_does_not_outlive_a_parent_that_is_killed(script: str) -> None:
    script = f"import sys; sys.path.insert(0, {str(HERE)!r})\n{script}"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _is_running(worker):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    """Not counting a process that has ended and waits for init to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
