"""Noise raises the energy of the pictures that carry it; class and texture explain what they do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.auditing import views
from unpoison.auditing.evidence.energies import explained, measure, share_of_class
from unpoison.auditing.views import make_view
from unpoison.core.images import ArrayImageSet


def _smooth(count: int) -> np.ndarray:
    coarse = np.random.default_rng(0).uniform(60, 200, (count, 4, 4, 3))
    images = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    for axis in (1, 2):
        for _ in range(6):
            images = (images + np.roll(images, 1, axis) + np.roll(images, -1, axis)) / 3
    return images.round().astype(np.uint8)


def test_noised_pictures_score_highest():
    images, rows = _smooth(60), np.arange(10, 60, 10)
    noise = np.random.default_rng(1).integers(-12, 13, (len(rows), 32, 32, 3))
    images[rows] = (images[rows].astype(int) + noise).astype(np.uint8)
    found = measure(make_view(ArrayImageSet(images, np.arange(60) % 2), device="cpu"))
    assert set(np.argsort(found.images)[-len(rows) :]) == set(rows)


def test_pictures_that_are_not_measured_are_in_the_middle(monkeypatch):
    monkeypatch.setattr(views, "FITTED", 30)
    view = make_view(ArrayImageSet(_smooth(61), np.arange(61) % 3), device="cpu")
    found = measure(view)
    others = np.setdiff1d(np.arange(61), view.fitted)
    assert len(others) == 31
    assert np.ptp(found.images[others]) == 0
    assert found.images[others[0]] == pytest.approx(np.median(found.images[view.fitted]))


def test_share_of_class_is_all_or_nothing():
    labels = np.arange(4000) % 4
    assert share_of_class(labels * 2.0, labels) == pytest.approx(1)
    assert abs(share_of_class(np.random.default_rng(0).normal(size=4000), labels)) < 0.01


def test_explained_is_what_is_left_out_and_foretold():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(80, 5, generator=generator)
    told = (features @ torch.tensor([1.0, -2, 3, 0, 1])).numpy()
    assert explained(features, told) > 0.99
    assert explained(features, torch.randn(80, generator=generator).numpy()) < 0.1
