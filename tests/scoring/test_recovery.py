"""Recovery with known answers, and where it has none."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.errors import SettingsError
from unpoison.core.records import Metric
from unpoison.scoring.intervals import share
from unpoison.scoring.recovery import recovery


def test_known_answers():
    poisoned, clean = share(2000, 10_000), share(8000, 10_000)
    assert recovery(defended=share(6500, 10_000), poisoned=poisoned, clean=clean).recovery.value == pytest.approx(0.75)
    assert recovery(defended=poisoned, poisoned=poisoned, clean=clean).recovery.value == 0
    assert recovery(defended=clean, poisoned=poisoned, clean=clean).recovery.value == 1
    assert recovery(defended=share(1000, 10_000), poisoned=poisoned, clean=clean).recovery.value < 0


def test_interval_covers_as_promised():
    rng = np.random.default_rng(0)
    truth, covered, trials = (0.7 - 0.3) / (0.8 - 0.3), 0, 500
    for _ in range(trials):
        defended, poisoned, clean = (share(int(rng.binomial(500, p)), 500) for p in (0.7, 0.3, 0.8))
        metric = recovery(defended=defended, poisoned=poisoned, clean=clean).recovery
        covered += metric.low <= truth <= metric.high
    assert 0.92 <= covered / trials <= 0.98


def test_no_harm_nothing_to_recover():
    with pytest.raises(SettingsError, match="no harm"):
        recovery(defended=share(80, 100), poisoned=share(80, 100), clean=share(82, 100))
    with pytest.raises(SettingsError, match="no harm"):
        recovery(defended=share(80, 100), poisoned=share(90, 100), clean=share(50, 100))


def test_not_a_number_is_refused():
    nan = Metric(value=float("nan"), n=10, low=0, high=1)
    with pytest.raises(SettingsError, match="not a number"):
        recovery(defended=nan, poisoned=share(1, 10), clean=share(9, 10))


def test_describe_says_it_all():
    text = recovery(defended=share(65, 100), poisoned=share(20, 100), clean=share(80, 100)).describe()
    assert text.startswith("recovery 0.75 ((defended - poisoned) / (clean - poisoned), 3 trainings: defended 65.00%")
    assert "n=100" in text
    assert "95 % interval" in text
