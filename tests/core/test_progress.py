"""Progress as people and logs see it."""

from __future__ import annotations

import sys
import time
import types

import torch

from unpoison.core import progress
from unpoison.core.progress import LogLines, StepInfo, progress_bar, telling


class _Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _log(unit="img"):
    lines: list[str] = []
    clock = _Clock()
    return LogLines("purify in", unit, clock=clock, write=lines.append), clock, lines


def test_a_line_of_a_log_says_where_it_stands_and_what_is_left():
    log, clock, lines = _log()
    log.tick()
    log.on_step(StepInfo(0, 2000))
    clock.now = 10
    log.on_step(StepInfo(500, 2000, {"loss": 0.25}))
    log.tick()
    clock.now = 40
    log.on_step(StepInfo(2000, 2000))
    log.close(True)
    assert lines == [
        "purify in",
        "purify in: 500/2,000 img, 25 %, loss 0.25, 10 s gone, about 30 s left",
        "purify in: 2,000/2,000 img, 100 %, 40 s gone",
    ]


def test_what_another_run_had_done_does_not_count_for_what_is_left():
    log, clock, lines = _log("%")
    log.on_step(StepInfo(901, 1000))
    clock.now = 10
    log.on_step(StepInfo(950, 1000, doing="trial 2 of 3"))
    log.tick()
    assert lines == ["purify in: trial 2 of 3: 95 %, 10 s gone, about 10 s left"]


def test_a_tensor_is_read_when_it_is_shown(monkeypatch):
    read = []
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor, item=torch.Tensor.item: read.append(1) or item(tensor))
    log, _, lines = _log()
    bar = progress._Bar("train", "step")
    for step in range(1, 1000):
        for shown in (log, bar):
            shown.on_step(StepInfo(step, 1000, {"loss": torch.tensor(0.25)}))
    assert len(read) < 100
    for shown in (log, bar):
        shown.on_step(StepInfo(1000, 1000, {"loss": torch.tensor(0.25)}))
    log.tick()
    assert "loss 0.25" in lines[0]
    assert "loss=0.25" in str(bar._bar)


def test_a_loop_that_begins_anew_is_timed_anew():
    log, clock, lines = _log()
    log.on_step(StepInfo(100, 100))
    clock.now = 50
    log.on_step(StepInfo(1, 10))
    clock.now = 55
    log.on_step(StepInfo(5, 10))
    log.tick()
    assert lines == ["purify in: 5/10 img, 50 %, 5 s gone, about 5 s left"]


def test_a_short_loop_shows_nothing(capsys):
    with telling("reading in"), progress_bar("purify in", unit="img") as on_step:
        on_step(StepInfo(3, 3))
    assert capsys.readouterr() == ("", "")


def test_a_long_one_shows_itself_before_its_first_step(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_FIRST_S", 0.01)
    with telling("reading in"), progress_bar("purify in", unit="img") as on_step:
        time.sleep(0.2)
        on_step(StepInfo(3, 3))
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines[:2]) == ["purify in", "reading in"]
    assert lines[2].startswith("purify in: 3/3 img, 100 %, ")
    assert len(lines) == 3


def test_a_bar_ends_at_100_percent_on_a_line_of_its_own(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_FIRST_S", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar("purify in", unit="img") as on_step:
        on_step(StepInfo(0, 3))
        time.sleep(0.2)
        for step in (1, 2, 3):
            on_step(StepInfo(step, 3))
    drawn = capsys.readouterr().err
    assert drawn.endswith("\n")
    assert "purify in: 100%" in drawn.splitlines()[-1].split("\r")[-1]


def test_a_notebook_gets_a_bar_and_a_program_none(monkeypatch, capsys):
    @progress.shows_bar("count")
    def count(total: int, *, on_step=None) -> bool:
        for step in range(total):
            if on_step:
                on_step(StepInfo(step + 1, total))
        return on_step is not None

    assert not count(2)
    monkeypatch.setattr(progress, "_FIRST_S", 0.0)
    shell = types.SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert count(2)
    assert "count" in capsys.readouterr().err
    seen = []
    assert count(2, on_step=seen.append)
    assert (len(seen), capsys.readouterr().err) == (2, "")
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not count(2)


def test_a_bar_forgets_what_was_done_before(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_FIRST_S", 0)
    shown = progress._Bar("purify in", "img")
    shown.on_step(StepInfo(900, 1000, {"loss": 0.25}, doing="learning"))
    assert "learning" in str(shown._bar)
    shown.on_step(StepInfo(3, 50))
    assert str(shown._bar).startswith("purify in:   6%")
    assert "loss" not in str(shown._bar)
    shown.close(True)
