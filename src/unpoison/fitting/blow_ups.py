"""Blow-ups: when the training of an energy model diverges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from unpoison.fitting.settings import EnergySettings


class Figures(NamedTuple):
    """What one update came to. Energies are means over its images.

    Args:
        data: energy of noisy images of the data.
        bank: energy of the chains after their Langevin steps.
        noise: energy of uniform noise.
        gradient: norm of the gradient of the loss, before clipping.
    """

    data: float
    bank: float
    noise: float
    gradient: float

    @property
    def gap(self) -> float:
        """Energy of the data less that of the chains; about 0 in a healthy fit."""
        return self.data - self.bank


@dataclass(frozen=True)
class Rollback:
    """A return to an earlier state.

    Args:
        at: update after which the fit was taken to diverge.
        to: updates of the state it went back to.
        why: what was out of bounds.
    """

    at: int
    to: int
    why: str


def find_blow_up(trace: Sequence[Figures], settings: EnergySettings) -> str | None:
    """Why the last updates are a blow-up; None if they are not.

    Args:
        trace: figures of all updates so far.
        settings: of the fit.
    """
    recent = trace[-settings.alarm_window - settings.alarm_steps :]
    watched = {"the energy gap": [abs(f.gap) for f in recent], "the gradient norm": [f.gradient for f in recent]}
    for name, values in watched.items():
        if not math.isfinite(values[-1]):
            return f"{name} is not finite"
        if is_out_of_bounds(
            values, factor=settings.alarm_factor, steps=settings.alarm_steps, window=settings.alarm_window
        ):
            return f"{name} stayed beyond {settings.alarm_factor:g} times its median"
    return "the gradient is 0, the network dead" if recent[-1].gradient == 0 else None


def is_out_of_bounds(values: Sequence[float], *, factor: float, steps: int, window: int) -> bool:
    """Whether each of the last values is beyond a multiple of the median of those before.

    Args:
        values: not negative; never out of bounds while there are fewer than `window` + `steps`.
        factor: the multiple.
        steps: how many of the last values are looked at.
        window: how many before them make the median.

    Examples:
        >>> is_out_of_bounds([1, 2, 1, 30, 40], factor=10, steps=2, window=3)
        True
        >>> is_out_of_bounds([1, 2, 1, 30, 1], factor=10, steps=2, window=3)
        False
    """
    if len(values) < window + steps:
        return False
    return min(values[-steps:]) > factor * median(values[-steps - window : -steps])
