"""The cost of a run, told while it has hardly begun."""

from __future__ import annotations

import time
from collections.abc import Callable

from unpoison.core.progress import OnStep, StepInfo, duration

_WATCHED_S = 3.0  # how long blocks are timed
_WORTH_S = 10.0  # a run shorter than this is over before anybody has read what it costs


def announce_cost(
    on_step: OnStep, say: Callable[[str], None], *, device: str, clock: Callable[[], float] = time.perf_counter
) -> OnStep:
    """Watch the first blocks of a run, and say once what the whole will take.

    The first block is left out of the timing as a warm-up, unless it took so long that this does not matter.

    Args:
        on_step: called for every step too.
        say: takes the line.
        device: kind of device, for the line.
        clock: tells the seconds.

    Returns:
        An `on_step` for a run over images, which calls it once before its first block.
    """
    begun: list[tuple[float, int]] = []  # seconds and images: at the start, then after the first block
    said = False

    def watch(info: StepInfo) -> None:
        nonlocal said
        on_step(info)
        if info.doing:  # before the first block, while a purifier looks at the whole set
            return
        now = clock()
        long_first = len(begun) == 1 and now - begun[0][0] >= _WORTH_S
        if len(begun) < 2 and not long_first:
            begun.append((now, info.step))
        elif not said and info.step > begun[-1][1] and now - begun[-1][0] >= _WATCHED_S:
            said = True
            since, done = begun[-1]
            rate = (info.step - done) / (now - since)
            count = info.total - begun[0][1]
            if (info.total - info.step) / rate >= _WORTH_S:
                say(f"{count:,} images: about {duration(count / rate)} on {device} ({_rate(rate)} images/s)")

    return watch


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
