"""Intervals against published tables."""

from __future__ import annotations

import pytest

from unpoison.core.errors import SettingsError
from unpoison.scoring.intervals import mean_over_trials, share, t_quantile


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 1998, table I, method 3 (Wilson without correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_the_published(successes, n, low, high):
    metric = share(successes, n)
    assert (metric.value, metric.n) == (successes / n, n)
    assert (round(metric.low, 4), round(metric.high, 4)) == (low, high)


def test_all_and_none_stay_inside():
    for successes, n in ((0, 1), (1, 1), (0, 10_000), (10_000, 10_000)):
        metric = share(successes, n)
        assert 0 <= metric.low <= metric.value <= metric.high <= 1


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # Student's table, two-sided 95 %.
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (120, 1.9799)],
)
def test_t_is_the_published(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-5)


def test_mean_over_trials():
    metric = mean_over_trials([0.70, 0.72, 0.74])
    assert metric.value == pytest.approx(0.72)
    assert metric.n == 3
    assert metric.high - metric.value == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)
    assert metric.value - metric.low == pytest.approx(metric.high - metric.value)


def test_too_few_are_refused():
    with pytest.raises(SettingsError, match="at least one"):
        share(0, 0)
    with pytest.raises(SettingsError, match="at least two, got 1"):
        mean_over_trials([0.5])
