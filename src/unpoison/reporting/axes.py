"""Figures and axes that people can read: round values, in a unit that keeps them short."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Unit:
    """How figures of one kind are written on a page, so that they are short and can be compared.

    Args:
        exponent: they are given in units of ten to the power of this.
        decimals: of each.
    """

    exponent: int
    decimals: int

    @classmethod
    def of(cls, values: np.ndarray) -> Unit:
        """For [n] values, at least one, few outliers among them aside."""
        low, high = np.quantile(values.astype(np.float64), (0.05, 0.95))
        largest = max(abs(low), abs(high))
        exponent = math.floor(math.log10(largest)) if largest else 0
        exponent = 0 if -3 <= exponent < 5 else exponent
        spread = (high - low or largest or 1) / 10.0**exponent
        return cls(exponent, min(6, max(0, 2 - math.floor(math.log10(spread)))))

    @property
    def words(self) -> str:
        """The unit, if it is not 1, as words that follow the name of what is measured."""
        power = str(self.exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f" in units of 10{power}" if self.exponent else ""

    def show(self, value: float, decimals: int | None = None) -> str:
        """A value in this unit."""
        shown = f"{value / 10.0**self.exponent:.{self.decimals if decimals is None else decimals}f}"
        return shown if float(shown) else shown.removeprefix("-")


def round_values(low: float, high: float) -> list[float]:
    """Round values between two others, four to eight of them, for an axis.

    >>> round_values(-0.43, 0.12)
    [-0.4, -0.3, -0.2, -0.1, 0.0, 0.1]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = max(factor * power for factor in (1, 2, 5) if factor * power <= (high - low) / 4)
    return [
        round(number * step, 12 - math.floor(math.log10(step)))
        for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def label_values(values: Sequence[float], unit: Unit) -> list[str]:
    """Round values as they stand on an axis, with as many decimals as tell them apart."""
    step = values[1] - values[0] if len(values) > 1 else 1.0
    decimals = max(0, unit.exponent - math.floor(math.log10(step) + 1e-9))
    return [unit.show(value, decimals) for value in values]
