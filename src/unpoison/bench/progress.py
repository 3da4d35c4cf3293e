"""The progress of a suite: which trial, what is being made for it, and which share of all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unpoison.core.progress import OnStep, StepInfo

_PARTS = 1000  # steps that a trial counts for


class SuiteProgress:
    """One count over all trials, on which the steps of what each is made from show.

    The training on its own set is taken for the whole of a trial. What is made once for several trials, such as a
    fitted model, takes its own time, from which nothing follows for the others; trials that turn out to have a record
    leave the count.

    Args:
        on_step: takes shares of the whole.
        trials: how many there are.
        expected_s: seconds that a training is expected to take, until one has been timed.
        clock: tells the seconds.
    """

    def __init__(
        self,
        on_step: OnStep | None,
        trials: int,
        *,
        expected_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._on_step, self._trials, self._expected_s, self._clock = on_step, trials, expected_s, clock
        self._made = self._found = 0
        self._name, self._share, self._is_made = "", 0.0, False
        self._trained_s = self._trained = 0.0  # seconds of trainings so far, and how many these were

    def begin(self, number: int, name: str) -> None:
        """A trial begins; numbers are counted from 1."""
        self._name, self._share, self._is_made = f"trial {number} of {self._trials}, {name}", 0.0, False

    def end(self) -> None:
        """The trial has its record."""
        if self._is_made:
            self._made += 1
        else:
            self._found += 1
        self._share = 0.0

    @contextmanager
    def bar(self, label: str, unit: str, *, is_trial: bool = False) -> Iterator[OnStep]:
        """An `on_step` for something that the trial is made from.

        Args:
            label: what is being done.
            unit: word for its steps; shares are shown in their place.
            is_trial: it is the part by which the trial's own progress is told.
        """
        self._is_made = True
        began = self._clock()
        self._tell(label, self._left(0, 0))

        def on_step(info: StepInfo) -> None:
            share, seconds = info.step / max(1, info.total), self._clock() - began
            if is_trial:
                self._share = max(self._share, share)
                left = self._left(seconds, share)
            else:
                left = self._left(0, 0)
                left = left + seconds * (1 - share) / share if left is not None and share else None
            self._tell(f"{label} {100 * share:.0f} %", left)

        yield on_step
        if is_trial:
            self._trained_s += self._clock() - began
            self._trained += 1

    def _left(self, seconds: float, share: float) -> float | None:
        """Seconds that the trainings still take, by those so far and that at work, or as expected; None if unknown."""
        trained = self._trained + share
        rest = self._trials - self._found - self._made - self._share
        if not trained:
            return None if self._expected_s is None else rest * self._expected_s
        return rest * (self._trained_s + seconds) / trained

    def _tell(self, what: str, left: float | None) -> None:
        if self._on_step:
            total = max(1, self._trials - self._found)
            step = round(_PARTS * (self._made + self._share))
            doing = f"{self._name}: {what}"
            self._on_step(StepInfo(step, _PARTS * total, doing=doing, left_s=left))
