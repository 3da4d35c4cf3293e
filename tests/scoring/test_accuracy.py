"""Accuracy with known answers, from a training, a net and bare predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unpoison.classify.classifier import Classifier, build_net
from unpoison.classify.loop import EpochResult, TrainedClassifier
from unpoison.classify.settings import TrainSettings
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


def test_a_training_brings_its_predictions_and_its_peak():
    history = [EpochResult(1, 4, 0.9, 0.75), EpochResult(2, 4, 0.8, None), EpochResult(3, 4, 0.7, 0.5)]
    predictions = np.array([0, 1, 1, 1])
    trained = TrainedClassifier(Threshold(), history, predictions, TrainSettings(epochs=3), seed=0, seconds=1.0)
    result = score(trained, brightness_set([0, 0, 0, 1]))
    assert result.accuracy.value == 0.5
    assert result.peak == 0.75
    assert result.describe().endswith("peak 75.00% (best test of the training)")


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(SettingsError, match="1 pictures of brightness have no label"):
        score(np.array([0, 1]), brightness_set([0, -1]))
    with pytest.raises(SettingsError, match="3 predictions for the 2 pictures"):
        score(np.array([0, 1, 1]), brightness_set([0, 1]))


def test_a_test_set_without_a_class_is_matched_by_name():
    """A classifier that calls everything a dog gets nothing right where there are no dogs."""
    all_dogs = build_net("resnet18", classes=3, width=4, seed=0)
    with torch.no_grad():
        all_dogs.linear.weight.zero_()
        all_dogs.linear.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    about = {"architecture": "resnet18", "width": 4, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    classifier = Classifier(all_dogs, class_names=("cat", "dog", "emu"), **about)
    images = np.zeros((4, 32, 32, 3), np.uint8)
    test_set = ArrayImageSet(images, [0, 1, 1, 0], class_names=("cat", "emu"))
    scored = score(classifier, test_set)
    assert (scored.accuracy.value, set(scored.per_class)) == (0, {"cat", "emu"})
    with pytest.raises(SettingsError, match="pictures of fox, but the classes of the classifier are cat, dog, emu"):
        score(classifier, ArrayImageSet(images, [0, 1, 1, 0], class_names=("cat", "fox")))
