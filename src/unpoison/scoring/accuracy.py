"""Accuracy of a classifier on a clean test set."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from unpoison.classify.classifier import Classifier, predict
from unpoison.classify.loop import TrainedClassifier
from unpoison.classify.saving import load_classifier
from unpoison.core.classes import match_classes
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.records import Metric
from unpoison.data import read
from unpoison.scoring.intervals import share


@dataclass(frozen=True)
class AccuracyScore:
    """Accuracy on a test set.

    Args:
        accuracy: share of test images named correctly, after the last epoch.
        per_class: the same within each class that has test images.
        peak: highest accuracy at any test while training; None for a net whose training was not seen.
    """

    accuracy: Metric
    per_class: dict[str, Metric]
    peak: float | None = None

    def describe(self) -> str:
        """The score in words: definition, denominator, trials, interval."""
        shown = self.accuracy
        text = (
            f"accuracy {shown.value:.2%} (share of {shown.n} test images named correctly, last epoch; 1 trial; "
            f"95 % Wilson interval {shown.low:.2%} to {shown.high:.2%}, images only, not training)"
        )
        return text if self.peak is None else f"{text}; peak {self.peak:.2%} (best test of the training)"


def score(classifier: TrainedClassifier | nn.Module | np.ndarray | str | PathLike[str], test_set: Any) -> AccuracyScore:
    """Score a classifier, or predictions already made.

    Args:
        classifier: what `train` returned (its stored predictions are used); or a net that maps [N, 3, H, W] in [0, 1]
            to logits; or the folder of one; or predictions [N] of class indices in the order of `test_set`.
        test_set: labelled clean pictures; a set, or what `read` reads.

    Returns:
        Accuracy over all images and within each class.

    Raises:
        SettingsError: an image has no label or a class that the classifier does not know, or there is not one
            prediction for each.
    """
    if isinstance(classifier, (str, PathLike)):
        classifier = load_classifier(Path(classifier))
    test_set = numbered_for(classifier, read(test_set))
    labels = test_set.labels
    if (labels < 0).any():
        raise SettingsError(f"{int((labels < 0).sum())} pictures of {test_set.name} have no label to score against")
    if isinstance(classifier, TrainedClassifier):
        predictions = classifier.predictions
    elif isinstance(classifier, nn.Module):
        predictions = predict(classifier, test_set.array())
    else:
        predictions = np.asarray(classifier)
    if predictions.shape != labels.shape:
        raise SettingsError(f"{len(predictions)} predictions for the {len(labels)} pictures of {test_set.name}")
    correct = predictions == labels
    per_class = {
        name: share(int(correct[labels == label].sum()), int((labels == label).sum()))
        for label, name in enumerate(test_set.distinct_names)
        if (labels == label).any()
    }
    peak = None
    if isinstance(classifier, TrainedClassifier):
        peak = max(epoch.test_accuracy for epoch in classifier.history if epoch.test_accuracy is not None)
    return AccuracyScore(share(int(correct.sum()), len(labels)), per_class, peak)


def numbered_for(classifier: TrainedClassifier | nn.Module | np.ndarray, test_set: ImageSet) -> ImageSet:
    """A test set with its classes numbered like those of a classifier, matched by name.

    Raises:
        SettingsError: the classifier does not know a class.
    """
    net = classifier.net if isinstance(classifier, TrainedClassifier) else classifier
    return (
        match_classes(test_set, net.class_names, wanted_by="the classifier")
        if isinstance(net, Classifier)
        else test_set
    )
