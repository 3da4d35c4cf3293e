"""The one hook of every long loop, and the bar that hangs on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm


@dataclass(frozen=True)
class StepInfo:
    """Where a loop stands.

    Args:
        step: how many units are done, counted from 1.
        total: how many there are.
        values: figures of this step, e.g. `{"loss": 0.1}`.
    """

    step: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


OnStep = Callable[[StepInfo], None]


@contextmanager
def progress_bar(label: str, *, unit: str = "it", disable: bool = False) -> Iterator[OnStep]:
    """A bar on stderr with rate and time left; the hook it yields is an `on_step`."""
    pause = 0.5 if sys.stderr.isatty() else 10  # a log keeps every line
    with tqdm(
        desc=label, unit=unit, disable=disable, leave=False, delay=1, mininterval=pause, dynamic_ncols=True
    ) as bar:

        def on_step(info: StepInfo) -> None:
            bar.total = info.total
            if info.values:
                bar.set_postfix({name: f"{value:.4g}" for name, value in info.values.items()}, refresh=False)
            bar.update(info.step - bar.n)

        yield on_step


def write_line(text: str) -> None:
    """A line on stderr, above a bar that may be there."""
    tqdm.write(text, file=sys.stderr)
