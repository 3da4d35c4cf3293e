"""Recovery: how much of the damage of a poison a defence undoes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unpoison.core.errors import SettingsError
from unpoison.core.records import Metric


@dataclass(frozen=True)
class Recovery:
    """A defence between the undefended and the clean run.

    Args:
        recovery: 0 is as bad as undefended, 1 as good as clean; below and above are possible. n is the smallest of
            the three denominators.
        defended: accuracy after the defence.
        poisoned: accuracy undefended.
        clean: accuracy of the control trained on clean images.
    """

    recovery: Metric
    defended: Metric
    poisoned: Metric
    clean: Metric

    def describe(self) -> str:
        """The score in words: definition, denominators, interval."""
        parts = ", ".join(
            f"{name} {metric.value:.2%} (n={metric.n})"
            for name, metric in (("defended", self.defended), ("poisoned", self.poisoned), ("clean", self.clean))
        )
        return (
            f"recovery {self.recovery.value:.2f} ((defended - poisoned) / (clean - poisoned), 3 trainings: {parts}; "
            f"95 % interval {self.recovery.low:.2f} to {self.recovery.high:.2f}, from those of the accuracies)"
        )


def recovery(*, defended: Metric, poisoned: Metric, clean: Metric) -> Recovery:
    """(defended - poisoned) / (clean - poisoned), of accuracies on one clean test set.

    The interval carries those of the three accuracies to first order, as if they were independent.

    Args:
        defended: accuracy after the defence.
        poisoned: accuracy undefended.
        clean: accuracy of the control trained on clean images.

    Returns:
        The recovery with what it was made from.

    Raises:
        SettingsError: an accuracy is not a number, or the poison did no harm that its interval could show.
    """
    if not all(math.isfinite(metric.value) for metric in (defended, poisoned, clean)):
        raise SettingsError("recovery needs three accuracies, and one of them is not a number")
    harm = clean.value - poisoned.value
    halves = {name: (m.high - m.low) / 2 for name, m in (("d", defended), ("p", poisoned), ("c", clean))}
    if harm <= math.hypot(halves["p"], halves["c"]):
        raise SettingsError(
            f"the poison did no harm that can be told from chance ({clean.value:.2%} clean, {poisoned.value:.2%} "
            f"poisoned), so there is nothing to recover; compare the accuracies themselves"
        )
    value = (defended.value - poisoned.value) / harm
    half = math.hypot(halves["d"], (1 - value) * halves["p"], value * halves["c"]) / harm
    n = min(defended.n, poisoned.n, clean.n)
    return Recovery(Metric(value=value, n=n, low=value - half, high=value + half), defended, poisoned, clean)
