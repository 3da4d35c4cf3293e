"""Threads that torch computes on: as many as there are free cores, unless somebody says otherwise."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Where torch and the libraries below it look when they are loaded.
_VARIABLE = "OMP_NUM_THREADS"
_LOOK_S = 0.2  # the kernel counts in hundredths of a second


def available_cores() -> int:
    """Cores that this process may use: those it is pinned to, within the quota of its container."""
    cores = _all_cores()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # there is no quota, which is written as a word, or no such file
        return cores


def free_cores() -> int:
    """Available cores that nobody computes on just now, at least 1; to be called before computing oneself.

    Looks at the idle time of every core for a fifth of a second; where the system does not tell, at the load of the
    last minute; where it tells neither, every core counts as free.
    """
    cores = available_cores()
    idle = _idle_cores()
    if idle is None and hasattr(os, "getloadavg"):
        idle = cores - os.getloadavg()[0]
    return cores if idle is None else max(1, min(cores, round(idle)))


def choose_threads(wanted: int | None) -> int | None:
    """How many threads torch is to be told to use.

    Args:
        wanted: an explicit number; None for the free cores, unless OMP_NUM_THREADS says how many.

    Returns:
        None where torch's own choice is right: that of OMP_NUM_THREADS, or where every core is free one thread a
        physical core.
    """
    if wanted is not None or os.environ.get(_VARIABLE):
        return wanted
    free = free_cores()
    return free if free < _all_cores() else None


@contextmanager
def computing_threads(wanted: int | None) -> Iterator[None]:
    """Let torch compute on so many threads; works before torch is loaded, and without loading it.

    A second thread on a core that somebody else computes on is worse than none: every layer waits for the slowest.

    Args:
        wanted: as in `choose_threads`.
    """
    count = choose_threads(wanted)
    if count is None:
        yield
        return
    torch, variable = sys.modules.get("torch"), os.environ.get(_VARIABLE)
    before = torch.get_num_threads() if torch else 0
    os.environ[_VARIABLE] = str(count)
    if torch:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        del os.environ[_VARIABLE]
        if variable is not None:
            os.environ[_VARIABLE] = variable
        if torch:
            torch.set_num_threads(before)


def _all_cores() -> int:
    """Cores that torch sees: it knows no quota."""
    pinned = _pinned_to()
    return len(pinned) if pinned else os.cpu_count() or 1


def _pinned_to() -> set[int] | None:
    """The numbers of the cores that this process is pinned to, where the system has such a thing."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _idle_cores() -> float | None:
    """How many cores' worth of time goes unused on the cores that this process may use."""
    before = _core_times()
    if not before:
        return None
    time.sleep(_LOOK_S)
    idle_shares = []
    for core, (idle, total) in _core_times().items():
        idle_before, total_before = before.get(core, (0, 0))
        if total > total_before:
            idle_shares.append((idle - idle_before) / (total - total_before))
    return sum(idle_shares) if idle_shares else None


def _core_times() -> dict[int, tuple[int, int]]:
    """Of every core of this process, its idle time and all its time in ticks since the start; empty if not Linux."""
    times, pinned = {}, _pinned_to() or set()
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    for line in lines:
        name, *fields = line.split() or [""]
        number = name.removeprefix("cpu")
        if name.startswith("cpu") and number.isdigit() and int(number) in pinned:
            ticks = [int(field) for field in fields[:8]]  # those of guests stand in them already
            times[int(number)] = (ticks[3] + ticks[4], sum(ticks))
    return times
