"""What is drawn of evidence shows a poison where it is, and grey where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.expectations import SIGNS
from unpoison.auditing.views import View
from unpoison.reporting.audit.clean import clean_bars, clean_tiles
from unpoison.reporting.audit.drawings import BARS, TILES, amplified, diverging, draw_bars, draw_tiles


@pytest.fixture
def view() -> View:
    generator = np.random.default_rng(0)
    images = generator.integers(40, 200, (400, 32, 32, 3), np.uint8)
    residuals = generator.normal(0, 8, images.shape).round().astype(np.int16)
    return View(images, residuals, residuals, np.arange(400) % 2, ("a", "b"))


def _contrast(image: np.ndarray) -> float:
    return float(np.abs(image.astype(float) - 128).mean())


@pytest.mark.parametrize("kind", ["residuals", "class-means"])
def test_a_pattern_common_to_a_class_is_drawn_and_noise_is_nearly_grey(kind, view):
    view.residuals[view.labels == 1] += np.random.default_rng(1).integers(-6, 7, (32, 32, 3)).astype(np.int16)
    tiles = draw_tiles(kind, view, Evidence({}, classes=np.array([0.0, 1.0], np.float32)))
    assert tiles.labels == (1, 0)
    assert _contrast(tiles.images[0]) > 2 * _contrast(tiles.images[1])


def test_a_single_pixel_of_a_class_is_drawn_at_its_place(view):
    view.images[view.labels == 0, 5, 9] = (255, 0, 0)
    tiles = draw_tiles("pixels", view, Evidence({}, classes=np.array([1.0, 0.0], np.float32)))
    dots = np.argwhere((tiles.images[0] != 128).any(axis=2))
    assert dots.tolist() == [[5, 9]]
    assert (tiles.images[1] == 128).all()


def test_a_wave_in_a_class_is_a_dot_in_its_spectrum(view):
    wave = 12 * np.cos(2 * np.pi * 8 * np.arange(32) / 32)
    view.residuals[view.labels == 0] += wave.astype(np.int16)[None, None, :, None]
    tiles = draw_tiles("residual-textures", view, Evidence({}, classes=np.array([1.0, 0.0], np.float32)))
    orange = tiles.images[0][..., 0].astype(int) - tiles.images[0][..., 2]
    assert {tuple(place) for place in np.argwhere(orange > 100)} == {(16, 8), (16, 24)}


def test_bars_count_every_picture_whatever_its_score(view):
    scores = np.array([-100.0, 0.0, 100.0, 1.0], np.float32)
    bars = draw_bars("residuals", Evidence({}, scores))
    assert bars.shares.sum() == pytest.approx(1)
    assert bars.shares[0] == bars.shares[-1] == 0.25
    assert draw_bars("residuals", Evidence({})) is None
    assert draw_bars("pixels", Evidence({}, scores)) is None


def test_a_difference_is_scaled_by_what_few_exceed():
    difference = np.random.default_rng(0).normal(0, 3, (64, 64, 3))
    shown = amplified(difference)
    assert ((shown <= 1) | (shown >= 255)).mean() == pytest.approx(0.01, abs=0.005)
    assert np.array_equal(amplified(1000 * difference), shown)
    assert (amplified(np.zeros((4, 4, 3))) == 128).all()


def test_colours_diverge_from_grey():
    blue, grey, orange = diverging(np.array([-9.0, 0.0, 9.0])).tolist()
    assert grey == [128, 128, 128]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def test_the_clean_set_has_all_that_is_drawn_of_a_sign():
    for kind in {sign.partition(".")[0] for sign in SIGNS}:
        assert kind in TILES or kind in BARS
        assert kind not in TILES or clean_tiles(kind).shape == (6, 32, 32, 3)
        assert kind not in BARS or clean_bars()[kind].shares.sum() == pytest.approx(1, abs=0.01)
