"""The probes see the class in what says it, and nothing in what does not."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.poisons.methods import METHODS
from unpoison.poisons.protocol import Resources
from unpoison.scoring.probes import linear_separability, perfect_ar_accuracy


@pytest.fixture(scope="module")
def clean():
    """600 pictures that differ smoothly and by class say nothing."""
    coarse = np.random.default_rng(0).integers(40, 216, (600, 4, 4, 3), dtype=np.uint8)
    return ArrayImageSet(coarse.repeat(4, axis=1).repeat(4, axis=2), np.arange(600) % 5)


def craft(image_set, attack: str, **settings):
    method = load_method(METHODS, attack, kind="attack")
    return method().craft(image_set, method.Settings(**settings), generator=generator(0, attack), resources=Resources())


@pytest.mark.parametrize(("attack", "settings"), [("urp", {}), ("lsp", {"patch": 4}), ("ops", {})])
def test_a_line_separates_what_the_class_decides(attack, settings, clean):
    metric = linear_separability(clean.images, craft(clean, attack, **settings).images, clean.labels)
    assert metric.n == 300
    assert metric.value > 0.98
    assert metric.low <= metric.value <= metric.high


def test_a_line_finds_nothing_in_noise_of_each_picture(clean):
    noise = craft(clean, "urp", per="sample").images
    assert linear_separability(clean.images, noise, clean.labels).high < 0.35
    untouched = linear_separability(clean.images, clean.images, clean.labels)
    assert untouched.value == pytest.approx(0.2, abs=0.01)
    shuffled = np.random.default_rng(1).permutation(clean.labels)
    assert linear_separability(clean.images, craft(clean, "urp").images, shuffled).high < 0.35


def test_the_classifier_against_the_primal_form_of_ridge_regression():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], 14)
    clean = np.full((42, 2, 2, 3), 128, np.uint8)
    poisoned = (clean + rng.integers(-8, 9, clean.shape) + 3 * labels[:, None, None, None]).astype(np.uint8)
    delta = (poisoned.astype(float) - clean).reshape(42, -1) / 255
    known, unknown = delta[::2] - delta[::2].mean(axis=0), delta[1::2] - delta[::2].mean(axis=0)
    wanted = np.eye(3)[labels[::2]]
    ridge = 1e-2 * (known**2).sum(axis=1).mean()
    weights = np.linalg.solve(known.T @ known + ridge * np.eye(12), known.T @ (wanted - wanted.mean(axis=0)))
    named = (unknown @ weights + wanted.mean(axis=0)).argmax(axis=1)
    expected = (named == labels[1::2]).mean()
    assert 0.4 < expected < 1
    assert linear_separability(clean, poisoned, labels).value == expected


def test_the_limit_takes_evenly_from_every_class_and_leaves_the_unlabelled(clean):
    poisoned = craft(clean, "urp").images
    assert linear_separability(clean.images, poisoned, clean.labels, limit=40).n == 20
    assert linear_separability(clean.images, poisoned, clean.labels, limit=40).value == 1.0
    labels = np.where(clean.labels == 0, -1, clean.labels)
    assert linear_separability(clean.images, poisoned, labels).n == 240


@pytest.mark.parametrize("settings", [{}, {"norm": "linf", "epsilon": "8/255"}])
def test_the_oracle_names_every_autoregressive_noise(clean, settings):
    poisoned = craft(clean, "ar", **settings)
    metric = perfect_ar_accuracy(clean.images, poisoned.images, clean.labels, poisoned.facts["coefficients"])
    assert metric.n == 600
    assert metric.value > 0.99


def test_the_oracle_finds_nothing_where_there_is_no_such_noise(clean):
    tables = craft(clean, "ar").facts["coefficients"]
    noise = craft(clean, "urp", per="sample").images
    assert perfect_ar_accuracy(clean.images, noise, clean.labels, tables).value < 0.35
    pictures_alone = perfect_ar_accuracy(np.zeros_like(clean.images), clean.images, clean.labels, tables)
    assert pictures_alone.value < 0.35
    poisoned = craft(clean, "ar").images
    next_class = perfect_ar_accuracy(clean.images, poisoned, (clean.labels + 1) % 5, tables)
    assert next_class.value < 0.01


def test_what_does_not_fit_together_is_refused(clean):
    images, labels = clean.images, clean.labels
    with pytest.raises(SettingsError, match="belong together, row by row"):
        linear_separability(images, images[1:], labels)
    with pytest.raises(SettingsError, match="belong together, row by row"):
        perfect_ar_accuracy(images, images, labels[1:], np.zeros((5, 3, 3, 3)))
    with pytest.raises(SettingsError, match="must be uint8"):
        linear_separability(images / 255, images / 255, labels)
    with pytest.raises(SettingsError, match="at least two labelled"):
        linear_separability(images, images, np.full(600, -1))
    with pytest.raises(SettingsError, match="do not serve labels up to 4"):
        perfect_ar_accuracy(images, images, labels, np.zeros((4, 3, 3, 3)))
