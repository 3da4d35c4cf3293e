"""95 % intervals: of a share, and of a mean over trials.

References:
    Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    Abramowitz and Stegun, Handbook of mathematical functions, 26.7.3 and 26.7.4 (Student's t).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from unpoison.core.errors import SettingsError
from unpoison.core.records import Metric

NORMAL_QUANTILE = NormalDist().inv_cdf(0.975)


def share(successes: int, n: int) -> Metric:
    """A share with its Wilson interval, which stays inside [0, 1] and is honest at the ends.

    >>> metric = share(15, 50)
    >>> print(f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]")
    0.300 [0.191, 0.438]

    Args:
        successes: 0 to n.
        n: at least 1.

    Raises:
        SettingsError: n is 0.
    """
    if n < 1:
        raise SettingsError("a share of 0 images has no value; score at least one")
    p, z2 = successes / n, NORMAL_QUANTILE**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and n the bound is p itself; only rounding moves it.
    return Metric(value=p, n=n, low=min(p, middle - half), high=max(p, middle + half))


def mean_over_trials(values: Sequence[float]) -> Metric:
    """The mean of the same figure over independent trials (seeds) with its t interval.

    Args:
        values: one figure a trial, at least two.

    Returns:
        The mean; n is the number of trials.

    Raises:
        SettingsError: fewer than two trials, which say nothing about their spread.
    """
    n = len(values)
    if n < 2:
        raise SettingsError(f"an interval over trials needs at least two, got {n}; run more seeds")
    mean, half = fmean(values), t_quantile(n - 1) * stdev(values) / math.sqrt(n)
    return Metric(value=mean, n=n, low=mean - half, high=mean + half)


def t_quantile(degrees: int) -> float:
    """The 97.5 % point of Student's t.

    >>> round(t_quantile(2), 3)
    4.303

    Args:
        degrees: of freedom, at least 1.
    """
    low, high = 0.0, 13.0  # 12.7 at one degree is the largest
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < 0.95 else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """The chance that |T| < t: the finite series in the angle atan(t / sqrt(degrees))."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = total = 1.0
    if odd:
        term = total = math.cos(angle) if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
