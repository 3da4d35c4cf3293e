"""Progress of every long loop: one hook, and on it a bar, or the lines of a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from threading import Event, Thread
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from tqdm import tqdm

from unpoison.core.errors import show_control

if TYPE_CHECKING:
    from torch import Tensor

_FIRST_S = 1.0  # what is over by then needs no bar
_PERCENT_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"


@dataclass(frozen=True)
class StepInfo:
    """Where a loop stands.

    Args:
        step: how many units are done, counted from 1.
        total: how many there are.
        values: figures of this step, e.g. `{"loss": 0.1}`; also a tensor of one number, which is read from its device
            only when it is shown.
        doing: what is being done just now, where that changes on the way.
        left_s: seconds that are left, where the loop knows more than its pace so far tells.
    """

    step: int
    total: int
    values: Mapping[str, float | Tensor] = field(default_factory=dict)
    doing: str = ""
    left_s: float | None = None


OnStep = Callable[[StepInfo], None]

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def progress_bar(label: str, *, unit: str = "it") -> Iterator[OnStep]:
    """A bar on stderr with rate and time left, or, where that can draw none, a line every ten seconds.

    It shows after a second and keeps moving between steps that take long.

    Args:
        label: what is being done.
        unit: word for a step; "%" where steps are only shares of the whole.

    Yields:
        An `on_step`.
    """
    label = show_control(label)
    draws = sys.stderr.isatty() or in_notebook()
    shown: _Bar | LogLines = _Bar(label, unit) if draws else LogLines(label, unit)
    done = False
    try:
        with _ticking(shown.tick, shown.pause):
            yield shown.on_step
        done = True
    finally:
        shown.close(done)


def in_notebook() -> bool:
    """Whether this is a notebook, where somebody sits and waits for a cell."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@contextmanager
def bar_in_notebook(label: str, on_step: OnStep | None, *, unit: str = "it") -> Iterator[OnStep | None]:
    """A bar for a function that is called in a notebook. Elsewhere a program shows what it likes with its `on_step`.

    Yields:
        The `on_step` that was given, or that of the bar.
    """
    if on_step is not None or not in_notebook():
        yield on_step
        return
    with progress_bar(label, unit=unit) as bar:
        yield bar


def shows_bar(label: str, *, unit: str = "it") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """`bar_in_notebook` around a whole function that takes `on_step`."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            on_step = cast("OnStep | None", kwargs.get("on_step"))
            with bar_in_notebook(label, on_step, unit=unit) as shown:
                kwargs["on_step"] = shown
                return function(*args, **kwargs)

        return call

    return decorate


@contextmanager
def telling(text: str) -> Iterator[None]:
    """Write a line on stderr that says what is being done, if that takes longer than a second."""
    with _ticking(lambda: write_line(text), None):
        yield


def write_line(text: str) -> None:
    """A line on stderr, above a bar that may be there; what could steer a terminal is shown as escapes."""
    tqdm.write(show_control(text), file=sys.stderr)


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(75), duration(150), duration(9000)
    ('75 s', '2 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class LogLines:
    """Progress for a log, which keeps every line: where the loop stands, and about how long it will still take.

    Args:
        label: what is being done.
        unit: word for a step; "%" where steps are only shares of the whole.
        clock: tells the seconds.
        write: takes the lines.
    """

    pause = 10.0

    def __init__(
        self,
        label: str,
        unit: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = write_line,
    ):
        self._label, self._unit, self._clock, self._write = label, unit, clock, write
        self._began, self._first = clock(), 0
        self._info: StepInfo | None = None
        self._written = False

    def on_step(self, info: StepInfo) -> None:
        """Take note of a step; a loop that begins anew is timed anew."""
        if self._info is None:
            self._first = max(0, info.step - 1)
        elif info.step < self._info.step:
            self._began, self._first = self._clock(), max(0, info.step - 1)
        self._info = info

    def tick(self) -> None:
        """Write a line."""
        self._written = True
        self._write(": ".join([self._label, *self._where()]))

    def close(self, done: bool) -> None:
        """Write the last line, if there were others and the loop came to its end."""
        if done and self._written and self._info:
            self.tick()

    def _where(self) -> list[str]:
        info = self._info
        if info is None:
            return []
        share = info.step / max(1, info.total)
        count = "" if self._unit == "%" else f"{info.step:,}/{info.total:,} {self._unit}, "
        words = [f"{count}{100 * share:.0f} %"]
        words += [f"{name} {value:.4g}" for name, value in info.values.items()]
        gone = self._clock() - self._began
        words.append(f"{duration(gone)} gone")
        left = info.left_s
        if left is None and self._first < info.step:
            left = gone * (info.total - info.step) / (info.step - self._first)
        if left is not None and info.step < info.total:
            words.append(f"about {duration(left)} left")
        return [*([info.doing] if info.doing else []), ", ".join(words)]


class _Bar:
    """A bar of tqdm, whose clock goes on between steps."""

    pause = 1.0

    def __init__(self, label: str, unit: str):
        self._label = label
        style = {"bar_format": _PERCENT_BAR} if unit == "%" else {"unit": unit}
        self._bar = tqdm(desc=label, delay=_FIRST_S, mininterval=0.25, dynamic_ncols=True, **style)
        self._first = True

    def on_step(self, info: StepInfo) -> None:
        bar = self._bar
        if self._first:
            self._first, bar.initial = False, max(0, info.step - 1)
            bar.n = bar.last_print_n = bar.initial
        if info.step < bar.n:  # a loop that begins anew is timed anew
            bar.reset()
            bar.set_postfix_str("", refresh=False)
        bar.total = info.total
        doing = f": {show_control(info.doing)}" if info.doing else ""
        bar.set_description_str(f"{self._label}{doing}", refresh=False)
        # A figure may wait for a GPU: it is read when the bar is drawn anew, and no oftener.
        is_due = time.time() - bar.last_print_t >= bar.mininterval or info.step >= info.total
        if info.values and is_due:
            bar.set_postfix({name: f"{value:.4g}" for name, value in info.values.items()}, refresh=False)
        if info.left_s is not None:
            bar.set_postfix_str(f"about {duration(info.left_s)} left", refresh=False)
        bar.update(info.step - bar.n)

    def tick(self) -> None:
        self._bar.delay = 0  # it is shown from now on, and stays when it ends
        self._bar.refresh()

    def close(self, done: bool) -> None:
        self._bar.close()


@contextmanager
def _ticking(tick: Callable[[], None], pause: float | None) -> Iterator[None]:
    """Call something from another thread after a second and, with a pause, again after each."""
    over = Event()

    def run() -> None:
        wait: float | None = _FIRST_S
        while wait is not None and not over.wait(wait):
            tick()
            wait = pause

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
