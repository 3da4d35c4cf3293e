"""The line that says what a run will cost."""

from __future__ import annotations

import pytest

from unpoison.core.progress import StepInfo
from unpoison.runs.cost import announce_cost


def _watch(steps: list[tuple[float, int]], total: int) -> list[str]:
    """What is said in a run that has done so many images after so many seconds."""
    lines: list[str] = []
    seen: list[int] = []
    times = iter([seconds for seconds, _ in steps])
    on_step = announce_cost(lambda info: seen.append(info.step), lines.append, device="cpu", clock=lambda: next(times))
    for _, done in steps:
        on_step(StepInfo(done, total))
    assert seen == [done for _, done in steps]
    return lines


@pytest.mark.parametrize(
    ("steps", "total", "line"),
    [
        # The first block took two seconds more than the others.
        ([(0, 0), (3, 1000), (4, 2000), (7, 5000)], 50_000, "50,000 images: about 50 s on cpu (1,000 images/s)"),
        # A run that goes on where another stopped counts its own images only.
        ([(0, 30_000), (1, 30_100), (4, 30_400)], 50_000, "20,000 images: about 3 min on cpu (100 images/s)"),
        # A first block that takes a minute is enough.
        ([(0, 0), (60, 64)], 50_000, "50,000 images: about 13.0 h on cpu (1.1 images/s)"),
    ],
)
def test_it_is_said_once(steps, total, line):
    later = [(steps[-1][0] + 5 * number, steps[-1][1]) for number in range(1, 4)]
    assert _watch(steps + later, total) == [line]


def test_a_short_run_says_nothing():
    assert _watch([(0, 0), (0.1, 256), (3.2, 5000), (6.4, 10_000)], 10_000) == []
    assert _watch([(0, 0), (0.1, 256)], 256) == []


def test_a_look_at_the_whole_set_is_not_timed():
    lines: list[str] = []
    times = iter([100.0, 103.0, 104.0, 107.0])
    on_step = announce_cost(lambda info: None, lines.append, device="cpu", clock=lambda: next(times))
    for step in (128, 100_000):
        on_step(StepInfo(step, 100_000, doing="learning"))
    for done in (0, 1000, 2000, 5000):
        on_step(StepInfo(done, 50_000))
    assert lines == ["50,000 images: about 50 s on cpu (1,000 images/s)"]
