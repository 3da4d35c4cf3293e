"""Success of an attack, beside the accuracy it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from unpoison.classify.classifier import predict
from unpoison.classify.loop import TrainedClassifier
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.records import Metric
from unpoison.poisons.protocol import Target, Trigger
from unpoison.scoring.accuracy import numbered_for, score
from unpoison.scoring.intervals import share

_AT_ONCE = 500  # pictures that carry the trigger in memory


@dataclass(frozen=True)
class TriggeredScore:
    """How often a trigger works on one classifier. A clean-trained classifier gets the same score as its baseline.

    Args:
        target_class: name of the class that the trigger stands for.
        success: by what the trigger was multiplied by, the share of all test pictures of other classes that are taken
            for the target class.
        accuracy: share of clean test pictures named correctly.
        target_accuracy: the same within the target class.
    """

    target_class: str
    success: dict[float, Metric]
    accuracy: Metric
    target_accuracy: Metric

    def describe(self) -> str:
        """The score in words: definition, denominator, trials, interval, and the accuracy beside it."""
        rates = ", ".join(f"x{scale:g} {_with_interval(rate)}" for scale, rate in self.success.items())
        n = next(iter(self.success.values())).n
        return (
            f"attack success {rates} (share of the {n} test images of other classes taken for '{self.target_class}' "
            f"with the trigger, by its factor; 1 trial; 95 % Wilson intervals, images only, not training); "
            f"accuracy {_with_interval(self.accuracy)} (n={self.accuracy.n}), "
            f"on '{self.target_class}' {_with_interval(self.target_accuracy)} (n={self.target_accuracy.n})"
        )


def attack_success(
    classifier: TrainedClassifier | nn.Module,
    test_set: ImageSet,
    trigger: Trigger,
    *,
    scales: Sequence[float] = (1, 2, 3),
) -> TriggeredScore:
    """Show a classifier every test picture of the other classes with the trigger.

    Args:
        classifier: what `train` returned on this test set; or a net that maps [N, 3, H, W] in [0, 1] to logits.
        test_set: labelled clean pictures, among them some of the target class and some of others.
        trigger: of the attack.
        scales: what it is multiplied by before it is added: 1 as it was made, 3 in the Narcissus paper. A patch has
            no scale and is shown once.

    Returns:
        Success at each scale, and accuracy.

    Raises:
        SettingsError: the trigger does not fit the pictures, or there is nothing to score.
    """
    test_set = numbered_for(classifier, test_set)
    images, labels, target = test_set.array(), test_set.labels, trigger.target_class
    _check(test_set, trigger, images)
    clean = score(classifier, test_set)
    net = classifier.net if isinstance(classifier, TrainedClassifier) else classifier
    others = images[labels != target]
    success = {
        float(scale): share(_taken_for_target(net, others, trigger, scale), len(others))
        for scale in (scales if trigger.mode == "add" else (1,))
    }
    name = test_set.distinct_names[target]
    return TriggeredScore(name, success, clean.accuracy, clean.per_class[name])


def targeted_success(classifier: TrainedClassifier | nn.Module, target: Target) -> bool:
    """Whether a classifier takes the target for its intended class; by chance a clean-trained one may, too."""
    net = classifier.net if isinstance(classifier, TrainedClassifier) else classifier
    return int(predict(net, target.image[None])[0]) == target.intended_class


def success_rate(outcomes: Sequence[bool]) -> Metric:
    """Share of targets on which an attack succeeded, with its Wilson interval over targets.

    Args:
        outcomes: of `targeted_success`, one for each target.

    Raises:
        SettingsError: there are none.
    """
    return share(sum(outcomes), len(outcomes))


def _check(test_set: ImageSet, trigger: Trigger, images: np.ndarray) -> None:
    height, width = trigger.delta.shape[:2]
    fits = trigger.top + height <= images.shape[1] and trigger.left + width <= images.shape[2]
    if not fits or (trigger.mode == "add" and (height, width) != images.shape[1:3]):
        raise SettingsError(
            f"the trigger has {width}x{height} pixels and the pictures of {test_set.name} have "
            f"{images.shape[2]}x{images.shape[1]}; take a test set of the size that was poisoned"
        )
    if trigger.target_class >= len(test_set.class_names):
        raise SettingsError(
            f"the trigger stands for class {trigger.target_class}, and {test_set.name} has "
            f"{len(test_set.class_names)}; take a test set with the classes that were poisoned"
        )
    of_target = int((test_set.labels == trigger.target_class).sum())
    if of_target in (0, len(images)):
        name = test_set.class_names[trigger.target_class]
        raise SettingsError(
            f"{of_target} of the {len(images)} pictures of {test_set.name} are of the target class '{name}'; scoring "
            "needs some of it and some of others"
        )


def _taken_for_target(net: nn.Module, others: np.ndarray, trigger: Trigger, scale: float) -> int:
    """How many pictures [N, H, W, 3] uint8 are taken for the target class with the trigger."""
    parts = (others[start : start + _AT_ONCE] for start in range(0, len(others), _AT_ONCE))
    return sum(int((predict(net, trigger.apply(part, scale=scale)) == trigger.target_class).sum()) for part in parts)


def _with_interval(metric: Metric) -> str:
    return f"{metric.value:.2%} ({metric.low:.2%} to {metric.high:.2%})"
