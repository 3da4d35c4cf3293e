"""Centroids of the classes among a classifier's features, and how far pictures are from a point there."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.classify.classifier import Classifier, features
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float
from unpoison.poisons.engine.pgd import Loss


def centroids(classifier: Classifier, image_set: ImageSet, *, batch_size: int = 500) -> Tensor:
    """The mean features of each class, in fp32.

    Args:
        classifier: in evaluation mode.
        image_set: labelled pictures of one size; shown as they are, without crops and mirrors.
        batch_size: pictures per forward pass.

    Returns:
        [classes, D] float32, on the device of the classifier.

    Raises:
        SettingsError: a class has no picture.
    """
    device = next(classifier.parameters()).device
    absent = [name for name, count in image_set.count_per_class().items() if count == 0]
    if absent:
        raise SettingsError(f"{image_set.name} has no picture of class '{absent[0]}', whose mean features are needed")
    images = image_set.array()
    with torch.no_grad():
        starts = range(0, len(images), batch_size)
        parts = [features(classifier, to_float(images[start : start + batch_size]).to(device)) for start in starts]
    seen, labels = torch.cat(parts), torch.from_numpy(image_set.labels).to(device)
    return torch.stack([seen[labels == label].mean(dim=0) for label in range(len(image_set.class_names))])


def distance(classifier: Classifier, points: Tensor) -> Loss:
    """Mean squared difference between the features of each image and a point of its own.

    Args:
        classifier: in evaluation mode, its weights without gradients.
        points: [N, D], one for each image, on the same device.
    """
    return lambda images: (features(classifier, images).float() - points).square().mean(dim=1)
