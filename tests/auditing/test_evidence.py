"""Each kind of evidence rises where its poison is, and says which pictures carry it."""

from __future__ import annotations

import numpy as np
import pytest

import unpoison
from unpoison.auditing.evidence.methods import METHODS
from unpoison.auditing.views import make_view, shrunk
from unpoison.core.images import ArrayImageSet
from unpoison.core.methods import load_method


@pytest.fixture(scope="module")
def clean() -> ArrayImageSet:
    """Smooth pictures whose class is a faint tint: natural enough for a denoiser."""
    generator = np.random.default_rng(0)
    labels = np.arange(240) % 4
    coarse = generator.uniform(60, 200, (240, 4, 4, 3))
    coarse += 12 * labels[:, None, None, None] * np.array([1, 0, -1])
    images = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    for axis in (1, 2):
        for _ in range(6):
            images = (images + np.roll(images, 1, axis) + np.roll(images, -1, axis)) / 3
    return ArrayImageSet(images.clip(0, 255).round().astype(np.uint8), labels, class_names=("a", "b", "c", "d"))


def _measure(name: str, image_set):
    return load_method(METHODS, name, kind="evidence")(make_view(image_set))


@pytest.mark.parametrize("name", METHODS)
def test_numbers_are_finite_and_fit_the_set(name, clean):
    evidence = _measure(name, clean)
    assert evidence.values
    assert np.isfinite(list(evidence.values.values())).all()
    assert evidence.images is None or evidence.images.shape == (240,)
    assert evidence.classes is None or evidence.classes.shape == (4,)


@pytest.mark.parametrize(
    ("attack", "name", "value"),
    [
        ("lsp", "residuals", "advantage"),
        ("urp", "residuals", "advantage"),
        ("urp", "class-means", "coherence"),
        ("urp", "repeats", "repeat"),
        ("ar", "residual-textures", "advantage"),
        ("ar", "autoregression", "advantage"),
        ("ops", "pixels", "pixel_mean"),
        ("lsp", "coarse", "side_4"),
    ],
)
def test_evidence_rises_with_its_poison(attack, name, value, clean):
    poisoned = unpoison.poison(clean, attack).image_set
    before, after = (_measure(name, shown).values[value] for shown in (clean, poisoned))
    assert after > before + 0.05
    assert after > 1.3 * before


def test_a_trigger_on_some_pictures_of_a_class_is_found_among_them(clean):
    rows = np.flatnonzero(clean.labels == 1)[:20]
    images = clean.array().copy()
    trigger = np.random.default_rng(1).integers(-16, 17, (32, 32, 3))
    images[rows] = (images[rows].astype(int) + trigger).clip(0, 255).astype(np.uint8)
    found = _measure("repeats", ArrayImageSet(images, clean.labels, class_names=clean.class_names))
    assert set(np.argsort(found.images)[-20:]) == set(rows)
    assert found.classes.argmax() == 1


def test_a_shrunk_view_keeps_the_mean_of_the_whole_picture():
    picture = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)
    assert shrunk(picture).shape == (32, 32, 3)
    assert abs(int(shrunk(picture).mean()) - int(picture.mean())) <= 1
