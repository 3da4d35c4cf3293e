"""Accuracy with known answers, from a training, a net and bare predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.scoring.accuracy import score


def brightness_set(labels) -> ArrayImageSet:
    labels = np.asarray(labels)
    images = np.broadcast_to((100 + 100 * labels)[:, None, None, None], (len(labels), 8, 8, 3)).astype(np.uint8)
    return ArrayImageSet(images, labels, class_names=["dark", "bright", "absent"], name="brightness")


class Threshold(nn.Module):
    """Says bright where the mean is above one half."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        above = images.mean(dim=(1, 2, 3)) - self.at
        return torch.stack([-above, above], dim=1)


def test_known_predictions():
    result = score(np.array([0, 0, 1, 1, 1]), brightness_set([0, 0, 0, 1, 1]))
    assert (result.accuracy.value, result.accuracy.n) == (0.8, 5)
    assert result.accuracy.low == pytest.approx(0.3755, abs=1e-4)
    assert result.accuracy.high == pytest.approx(0.9638, abs=1e-4)
    assert {name: (metric.value, metric.n) for name, metric in result.per_class.items()} == {
        "dark": (2 / 3, 3),
        "bright": (1.0, 2),
    }
    assert result.peak is None
    assert result.describe() == (
        "accuracy 80.00% (share of 5 test images named correctly, last epoch; 1 trial; "
        "95 % Wilson interval 37.55% to 96.38%, images only, not training)"
    )


def test_a_net_is_asked():
    assert score(Threshold(), brightness_set([0, 1, 1])).accuracy.value == 1.0


def test_a_training_brings_its_peak():
    labels = np.arange(30) % 2
    images = brightness_set(labels).images
    image_set = ArrayImageSet(images, labels, class_names=["dark", "bright"], name="brightness")
    settings = TrainSettings(epochs=2, batch_size=8, width=4, test_every=1)
    trained = train(image_set, test_set=image_set, settings=settings, device="cpu")
    result = score(trained, image_set)
    assert result.accuracy.value == trained.history[-1].test_accuracy
    assert result.peak == max(epoch.test_accuracy for epoch in trained.history)
    assert f"peak {result.peak:.2%}" in result.describe()


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(SettingsError, match="1 pictures of brightness have no label"):
        score(np.array([0, 1]), brightness_set([0, -1]))
    with pytest.raises(SettingsError, match="3 predictions for the 2 pictures"):
        score(np.array([0, 1, 1]), brightness_set([0, 1]))
