"""PIL: its linear classifier, its loss, and what comes of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float
from unpoison.poisons.attacks.pil import PilSettings, fit_linear, linearising
from unpoison.poisons.crafting import poison

CPU = torch.device("cpu")


@pytest.fixture
def tinted() -> ArrayImageSet:
    """Noisy grey pictures of three classes, each with a little more of one colour."""
    labels = np.arange(90) % 3
    images = np.random.default_rng(0).integers(88, 168, (90, 8, 8, 3))
    images += 12 * np.eye(3, dtype=int)[labels][:, None, None]
    return ArrayImageSet(images.astype(np.uint8), labels, class_names=["red", "green", "blue"])


def test_the_first_step_of_the_classifier_is_that_of_a_softmax_from_zero(tinted):
    settings = PilSettings(epochs=1, training_batch=90, learning_rate=0.5)
    weights = fit_linear(tinted, settings, generator=generator(0, "pil"), device=CPU)
    flat = to_float(tinted.array()).flatten(1)
    wanted = torch.eye(3)[torch.from_numpy(tinted.labels)]
    torch.testing.assert_close(weights, 0.5 * (wanted - 1 / 3).T @ flat / 90)


def test_the_classifier_has_no_bias_and_learns_the_pictures(tinted):
    settings = PilSettings(epochs=100, training_batch=30)
    weights = fit_linear(tinted, settings, generator=generator(0, "pil"), device=CPU)
    assert weights.shape == (3, 8 * 8 * 3)
    read = (to_float(tinted.array()).flatten(1) @ weights.T).argmax(dim=1)
    assert (read.numpy() == tinted.labels).mean() > 0.9


@pytest.mark.parametrize("shortcut", [0.0, 0.9, 1.0])
def test_the_loss_is_the_published_one_but_for_a_constant(shortcut):
    draws = generator(0, "loss")
    weights, clean = torch.randn(4, 27, generator=draws), torch.rand(5, 3, 3, 3, generator=draws)
    delta, labels = 0.1 * torch.randn(5, 3, 3, 3, generator=draws), torch.tensor([0, 1, 2, 3, 0])
    found = linearising(weights, clean, labels, shortcut)(clean - delta)
    named = F.cross_entropy(delta.flatten(1) @ weights.T, labels, reduction="none")
    probabilities = F.softmax((clean - delta).flatten(1) @ weights.T, dim=1)
    hidden = (0.25 * (0.25 / probabilities).log()).sum(dim=1)
    torch.testing.assert_close(found, shortcut * named + (1 - shortcut) * (hidden + np.log(4)))


def test_the_noise_is_read_linearly_and_hides_the_picture(tinted):
    result = poison(tinted, "pil", epochs=100, training_batch=30, device="cpu")
    facts = result.step.facts
    assert facts["noise_read_linearly"] == 1.0
    assert facts["linf_255"] == 8
    noise = (tinted.array().astype(float) - result.image_set.array()).reshape(90, -1)
    weights, *_ = np.linalg.lstsq(noise[:45], np.eye(3)[tinted.labels[:45]], rcond=None)
    assert ((noise[45:] @ weights).argmax(axis=1) == tinted.labels[45:]).all()
    weights = fit_linear(tinted, PilSettings(epochs=100, training_batch=30), generator=generator(0, "pil"), device=CPU)
    before, after = (
        F.softmax(to_float(shown.array()).flatten(1) @ weights.T, dim=1)[range(90), tinted.labels]
        for shown in (tinted, result.image_set)
    )
    assert after.mean() < before.mean()
