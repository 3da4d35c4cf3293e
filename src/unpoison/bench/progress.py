"""Where a suite stands: which trial, what is being made for it, and which share of all is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unpoison.core.progress import OnStep, StepInfo

_PARTS = 1000  # steps that a trial counts for


class SuiteProgress:
    """One count over all trials, on which the steps of what each is made from show.

    The training on its own set is taken for the whole of a trial. Trials that turn out to have a record leave the
    count, so that the time left is that of the others.

    Args:
        on_step: takes shares of the whole.
        trials: how many there are.
    """

    def __init__(self, on_step: OnStep | None, trials: int):
        self._on_step, self._trials = on_step, trials
        self._made = self._found = 0
        self._name, self._share, self._is_made = "", 0.0, False

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
        self._tell(label)

        def on_step(info: StepInfo) -> None:
            share = info.step / max(1, info.total)
            if is_trial:
                self._share = max(self._share, share)
            self._tell(f"{label} {100 * share:.0f} %")

        yield on_step

    def _tell(self, what: str) -> None:
        if self._on_step:
            total = max(1, self._trials - self._found)
            step = round(_PARTS * (self._made + self._share))
            self._on_step(StepInfo(step, _PARTS * total, doing=f"{self._name}: {what}"))
