"""Threads follow the cores that are free, unless somebody says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from unpoison.core import threads


@pytest.fixture
def machine(monkeypatch):
    """Plays a machine of four cores, each of them idle for a share of the time; None: the system does not tell."""

    def play(*idle_shares: float, quota: int = 4, last_minute: float | None = None) -> None:
        looks = [
            dict.fromkeys(range(len(idle_shares)), (100, 200)),
            {core: (100 + int(share * 20), 220) for core, share in enumerate(idle_shares)},
        ]
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(threads, "_all_cores", lambda: 4)
        monkeypatch.setattr(threads, "available_cores", lambda: quota)
        monkeypatch.setattr(threads, "_core_times", lambda: looks.pop(0))
        monkeypatch.setattr(threads, "_LOOK_S", 0)
        if last_minute is None:
            monkeypatch.delattr(os, "getloadavg", raising=False)
        else:
            monkeypatch.setattr(os, "getloadavg", lambda: (last_minute, 9.0, 9.0), raising=False)

    return play


@pytest.mark.parametrize(
    ("idle_shares", "free"),
    [
        ((1, 1, 1, 1), 4),
        ((1, 0.9, 0.95, 0.85), 4),
        ((1, 0, 0.1, 1), 2),
        ((0.6, 0.5, 0.6, 0.4), 2),
        ((0, 0, 0.1, 0), 1),
    ],
)
def test_cores_are_free_where_they_are_idle(machine, idle_shares, free):
    machine(*idle_shares)
    assert threads.free_cores() == free


def test_a_quota_bounds_what_is_free(machine):
    machine(1, 1, 1, 1, quota=2)
    assert threads.free_cores() == 2


@pytest.mark.parametrize(("last_minute", "free"), [(0.1, 4), (2.2, 2), (11.0, 1), (None, 4)])
def test_without_idle_times_the_load_decides_and_without_a_load_all_cores_are_free(machine, last_minute, free):
    machine(last_minute=last_minute)
    assert threads.free_cores() == free


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="the system keeps no idle times there")
def test_this_machine_tells_its_times_of_the_cores_that_we_may_use():
    times = threads._core_times()
    assert times.keys() == os.sched_getaffinity(0)
    assert all(0 <= idle <= total for idle, total in times.values())


def test_a_number_of_the_user_wins_over_the_load(machine, monkeypatch):
    machine(0, 0, 0, 0)
    assert threads.choose_threads(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads.choose_threads(None) is None
    assert threads.choose_threads(3) == 3


def test_torch_is_left_to_itself_where_all_cores_are_free(machine):
    machine(1, 1, 1, 1)
    assert threads.choose_threads(None) is None


def test_torch_gets_the_threads_and_has_its_own_afterwards(machine):
    machine(1, 0, 0, 1)
    torch.set_num_threads(1)
    with threads.computing_threads(None):
        assert torch.get_num_threads() == 2
        assert os.environ["OMP_NUM_THREADS"] == "2"  # for processes that are started from here
    assert torch.get_num_threads() == 1
    assert "OMP_NUM_THREADS" not in os.environ


def test_torch_gets_them_when_it_is_loaded_later_and_is_not_loaded_for_them():
    code = (
        "import sys; from unpoison.core.threads import computing_threads\n"
        "with computing_threads(1): assert 'torch' not in sys.modules; import torch; print(torch.get_num_threads())"
    )
    given = {**os.environ, "OMP_NUM_THREADS": "2"}
    answer = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["1"]
