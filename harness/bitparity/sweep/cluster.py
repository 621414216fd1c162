"""A Dask cluster: workers of this machine, or those of a scheduler that runs already, on many machines.

A worker that is lost costs what it was doing, which is done again once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from bitparity.errors import BadInput, NotCompared
from bitparity.extras import require

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
ATTEMPTS = 2  # of a task that loses its worker
CONNECT_SECONDS = 30
# How long to wait for an answer before asking whether there are workers at all; a lost one is soon replaced.
_PATIENCE_SECONDS = 60


class Lost:
    """What stands for the answer of a task that lost its workers; `why` is Dask's sentence."""

    def __init__(self, why: str) -> None:
        self.why = why


@contextmanager
def open_cluster(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of the scheduler of that address, `tcp://host:8786`; without one, of so many workers here.

    Raises BadInput when nothing answers there, and NotCompared when the scheduler has no worker.
    """
    distributed = require("distributed", "sweep")
    if scheduler is not None:
        with _connected(distributed, scheduler) as client:
            yield client
        return
    with (
        # Tasks are tried again by run_tasks; the workers' ports are for this machine alone.
        require("dask", "sweep").config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def run_tasks(client: Client, run: Callable[[T], Any], tasks: Sequence[T]) -> Iterator[tuple[T, Any]]:
    """Run every task on some worker; yields each with what `run` returned, or Lost, as they end.

    No more tasks are given out than there are threads to run them: a task that waits on a worker that is lost
    would count as lost with it.

    Raises what `run` raised, and NotCompared when the scheduler is lost, or all workers for a minute.
    """
    waiting = deque((task, 1) for task in tasks)
    running: dict[Future, tuple[T, int]] = {}
    while waiting or running:
        room = sum(client.nthreads().values()) - len(running)
        for _ in range(min(room, len(waiting))):
            task, attempt = waiting.popleft()
            running[client.submit(run, task, pure=False)] = task, attempt
        for future in _ended(client, list(running)):
            (task, attempt), answer = running.pop(future), _answer(future)
            if isinstance(answer, Lost) and attempt < ATTEMPTS:
                waiting.append((task, attempt + 1))
            else:
                yield task, answer


def _ended(client: Client, running: list[Future]) -> list[Future]:
    """Those that have ended, as soon as there are some."""
    distributed = require("distributed", "sweep")
    while True:
        try:
            done = distributed.wait(running, timeout=_PATIENCE_SECONDS, return_when="FIRST_COMPLETED").done
            return list(done)
        except TimeoutError:
            if not client.nthreads():
                raise NotCompared("all workers were lost; the same command goes on") from None


def _answer(future: Future) -> Any:
    distributed = require("distributed", "sweep")
    try:
        return future.result()
    except distributed.KilledWorker as error:
        return Lost(str(error))
    except (distributed.comm.CommClosedError, distributed.client.FutureCancelledError) as error:
        raise NotCompared(f"the scheduler was lost ({error}); the same command goes on") from None


@contextmanager
def _connected(distributed: Any, scheduler: str) -> Iterator[Client]:
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise BadInput(f"no scheduler answers at {scheduler!r} ({error})") from None
    with client:
        if not client.nthreads():
            raise NotCompared(f"the scheduler at {scheduler} has no worker; start `dask worker {scheduler}`")
        yield client
