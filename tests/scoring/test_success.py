"""Attack success with classifiers whose answer to a trigger is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unpoison.classify.loop import EpochResult, TrainedClassifier
from unpoison.classify.settings import TrainSettings
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.poisons.protocol import Target, Trigger
from unpoison.scoring.success import (
    attack_success,
    success_rate,
    targeted_success,
)


class Brightness(nn.Module):
    """Bright (class 1) where the mean is above one half, else dark."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        above = images.mean(dim=(1, 2, 3)) - self.at
        return torch.stack([-above, above], dim=1)


def levels_set(levels, labels) -> ArrayImageSet:
    images = np.broadcast_to(np.asarray(levels)[:, None, None, None], (len(levels), 8, 8, 3)).astype(np.uint8)
    return ArrayImageSet(images, labels, class_names=["dark", "bright", "third"], name="levels")


# Five dark pictures, of which 20 levels lift one above the half, 40 two, 60 four; three bright ones, one of them dim.
SET = levels_set([110, 90, 70, 70, 10, 200, 200, 100], [0, 0, 0, 0, 0, 1, 1, 1])
LIFT = Trigger(np.full((8, 8, 3), 20 / 255, np.float32), target_class=1)


def test_success_at_every_scale_counts_all_pictures_of_other_classes():
    result = attack_success(Brightness(), SET, LIFT)
    assert {scale: (rate.value, rate.n) for scale, rate in result.success.items()} == {
        1.0: (0.2, 5),
        2.0: (0.4, 5),
        3.0: (0.8, 5),
    }
    # Wilson at 1 of 5, solved by hand: centre 0.3303, half width 0.2939.
    assert (round(result.success[1].low, 4), round(result.success[1].high, 4)) == (0.0362, 0.6245)
    assert (result.accuracy.value, result.accuracy.n) == (7 / 8, 8)
    assert (result.target_accuracy.value, result.target_accuracy.n) == (2 / 3, 3)
    assert result.target_class == "bright"


def test_a_picture_already_taken_for_the_target_counts_as_success():
    nothing = Trigger(np.zeros((8, 8, 3), np.float32), target_class=0)
    result = attack_success(Brightness(), SET, nothing, scales=(1,))
    assert (result.success[1].value, result.success[1].n) == (1 / 3, 3)


def test_more_pictures_than_are_held_at_once():
    many = levels_set(np.tile([110, 10], 620), np.zeros(1240, int))
    result = attack_success(
        Brightness(), ArrayImageSet(many.images, [1] + [0] * 1239, class_names=["d", "b"]), LIFT, scales=(1,)
    )
    assert (result.success[1].value, result.success[1].n) == (619 / 1239, 1239)


def test_a_training_is_asked_through_its_net():
    predictions = np.array([0, 0, 0, 0, 0, 1, 1, 1])  # what it said when it was tested
    trained = TrainedClassifier(
        Brightness(), [EpochResult(1, 4, 0.5, 1.0)], predictions, TrainSettings(epochs=1), seed=0, seconds=1.0
    )
    result = attack_success(trained, SET, LIFT, scales=(3,))
    assert result.success[3].value == 0.8
    assert result.accuracy.value == 1.0


def test_a_patch_is_shown_once():
    white = Trigger(np.ones((8, 4, 3), np.float32), target_class=1, mode="patch", left=4)
    result = attack_success(Brightness(), SET, white)
    assert {scale: rate.value for scale, rate in result.success.items()} == {1.0: 1.0}


def test_described_in_full():
    assert attack_success(Brightness(), SET, LIFT, scales=(1, 2)).describe() == (
        "attack success x1 20.00% (3.62% to 62.45%), x2 40.00% (11.76% to 76.93%) (share of the 5 test images of "
        "other classes taken for 'bright' with the trigger, by its factor; 1 trial; 95 % Wilson intervals, images "
        "only, not training); accuracy 87.50% (52.91% to 97.76%) (n=8), on 'bright' 66.67% (20.77% to 93.85%) (n=3)"
    )


def test_targets():
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert targeted_success(Brightness(), Target(grey, true_class=1, intended_class=0))
    assert not targeted_success(Brightness(), Target(grey + 100, true_class=1, intended_class=0))
    # Newcombe 1998, table I, method 3: 1 of 29.
    rate = success_rate([True] + 28 * [False])
    assert (rate.n, round(rate.low, 4), round(rate.high, 4)) == (29, 0.0061, 0.1718)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(SettingsError, match="4x4 pixels and the pictures of levels have 8x8"):
        attack_success(Brightness(), SET, Trigger(np.zeros((4, 4, 3), np.float32), target_class=1))
    with pytest.raises(SettingsError, match="stands for class 3, and levels has 3"):
        attack_success(Brightness(), SET, Trigger(LIFT.delta, target_class=3))
    with pytest.raises(SettingsError, match="0 of the 8 pictures of levels are of the target class 'third'"):
        attack_success(Brightness(), SET, Trigger(LIFT.delta, target_class=2))
    with pytest.raises(SettingsError, match="5 of the 5 pictures"):
        attack_success(Brightness(), SET.subset(range(5)), Trigger(LIFT.delta, target_class=0))
    with pytest.raises(SettingsError, match="score at least one"):
        success_rate([])
