"""Near-duplicates are found where they were planted, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.auditing.evidence.duplicates import find_duplicates, measure
from unpoison.auditing.views import View


@pytest.fixture
def images() -> np.ndarray:
    """Pictures of a few large blocks."""
    coarse = np.random.default_rng(0).integers(40, 216, (1500, 4, 4, 3), np.uint8)
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)


def _noised(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).integers(-16, 17, images.shape)
    return (images.astype(int) + noise).clip(0, 255).astype(np.uint8)


def test_faint_differences_hide_no_copy_and_others_are_none(images):
    images[[1400, 20]] = _noised(images[[3, 700]])
    found = find_duplicates(images)
    assert set(np.flatnonzero(found.found)) == {3, 1400, 20, 700}
    assert found.nearest[[3, 1400, 20, 700]].tolist() == [1400, 3, 700, 20]
    assert (found.distances[[3, 1400]] < 0.08).all()
    assert np.isinf(found.distances[0])


def test_brightness_and_contrast_hide_no_copy(images):
    images[5] = images[9] // 2 + 30
    assert find_duplicates(images).nearest[5] == 9


def test_flat_pictures_are_no_copies_of_each_other(images):
    images[:10] = np.arange(100, 110, dtype=np.uint8)[:, None, None, None]
    assert not find_duplicates(images).found.any()
    assert not find_duplicates(images[:10]).found.any()


def test_the_nearest_is_the_one_that_a_slow_search_finds(images):
    mixtures = np.random.default_rng(2).integers(0, 300, 1200)
    images = _noised(images[mixtures])
    small = images.reshape(1200, 8, 4, 8, 4, 3).mean((2, 4)).reshape(1200, -1)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    alike = small @ small.T
    np.fill_diagonal(alike, -1)
    expected = np.sqrt(2 - 2 * alike.max(axis=1))
    found = find_duplicates(images)
    assert (found.found == (expected < 0.15)).all()
    assert (found.nearest == alike.argmax(axis=1))[found.found].all()
    np.testing.assert_allclose(found.distances[found.found], expected[found.found], atol=1e-3)


def test_copies_within_and_across_classes_are_told_apart(images):
    images, labels = images[:100], np.arange(100) % 2
    images[[2, 5]] = images[[0, 1]]  # in its class
    images[[7]] = images[[4]]  # in the other
    view = View(images, np.zeros(images.shape, np.int16), np.zeros(images.shape, np.int16), labels, ("a", "b"))
    found = measure(view)
    assert found.values == pytest.approx({"share": 0.06, "across": 0.02})
    assert set(np.flatnonzero(found.images > 0.9)) == {0, 1, 2, 4, 5, 7}
    assert found.classes.tolist() == pytest.approx([0.06, 0.06])
