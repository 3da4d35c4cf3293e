"""How much a picture was changed, against slow sums, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unpoison.runs import measuring
from unpoison.runs.measuring import measure_change


def _details(picture: np.ndarray) -> np.ndarray:
    return np.diff(np.diff(picture.astype(np.float64), axis=0), axis=1) / 2


@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 99))
def test_against_the_definition(height, width, seed):
    before, after = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    change = measure_change(before, after)
    difference = after - before.astype(np.float64)
    there = np.square(_details(before))
    assert change.all_255 == pytest.approx(np.sqrt(np.square(difference).mean()))
    assert change.fine_255 == pytest.approx(np.sqrt(np.square(_details(difference)).mean()), abs=1e-5)
    assert change.texture_255 == pytest.approx(np.sqrt((1024 * there / (1024 + there)).mean()), abs=0.02)


def test_it_does_not_depend_on_how_it_is_added(monkeypatch):
    before, after = np.random.default_rng(2).integers(0, 256, (2, 31, 17, 3), np.uint8)
    whole = measure_change(before, after)
    for short in (1, 100, 200):
        monkeypatch.setattr(measuring, "_CHUNK", short)
        monkeypatch.setattr(measuring, "_SHORT", short)
        assert measure_change(before, after) == whole


def test_white_noise_has_its_own_deviation():
    noise = np.random.default_rng(0).normal(128, 20, (400, 400, 3)).round().astype(np.uint8)
    grey = np.full_like(noise, 128)
    assert measure_change(grey, noise).fine_255 == pytest.approx(20, rel=0.01)
    assert measure_change(grey, noise).texture_255 == 0


def test_smooth_changes_are_not_fine():
    grey = np.full((64, 64, 3), 128, np.uint8)
    slope = grey + np.arange(64, dtype=np.uint8)[:, None, None]
    assert measure_change(grey, slope).all_255 > 30
    assert measure_change(grey, slope).fine_255 == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_a_line_has_no_details(shape):
    black, white = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    assert measure_change(black, white) == (255, 0, 0)
    assert measure_change(white, white) == (0, 0, 0)
