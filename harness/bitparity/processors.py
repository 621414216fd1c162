"""How many processors this process may use, which is how many threads are worth starting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadpoolctl import threadpool_limits

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """Those that the affinity of this process and the quota of its control group leave it, at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, int(quota)))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy multiplies on one thread, for work of many small products.

    Between two of them the threads of OpenBLAS spin, which took as much processor time as the products do.
    """
    with threadpool_limits(1, user_api="blas"):
        yield


def cpu_quota(cgroups: Path = _CGROUPS, own_groups: Path = _OWN_GROUPS) -> float | None:
    """Processors' worth of time that Linux gives the control group of this process; None for no limit.

    The limits of the enclosing groups hold for a group too, so the smallest counts.
    """
    try:
        lines = own_groups.read_text().splitlines()
        return min((q for line in lines for q in _quotas(cgroups, *line.split(":", 2))), default=None)
    except (OSError, ValueError):  # not Linux, or a file system that tells it in another way
        return None


def _quotas(cgroups: Path, number: str, controllers: str, group: str) -> Iterator[float]:
    """The limits of a group and of those around it, in version 2 (number 0) or 1 of control groups."""
    if number == "0":
        for folder in _folders(cgroups, group):
            if (folder / "cpu.max").is_file():
                quota, period = (folder / "cpu.max").read_text().split()
                if quota != "max":
                    yield int(quota) / int(period)
    elif "cpu" in controllers.split(","):
        for folder in _folders(cgroups / "cpu", group):
            if (folder / "cpu.cfs_quota_us").is_file():
                quota, period = ((folder / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
                if int(quota) > 0:
                    yield int(quota) / int(period)


def _folders(root: Path, group: str) -> list[Path]:
    """From the root to the group; in a container the group's own folder may not be there."""
    parts = [part for part in group.split("/") if part]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
