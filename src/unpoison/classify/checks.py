"""Checks of a training set and a test set before a classifier is trained on one and tested on the other."""

from __future__ import annotations

import numpy as np

from unpoison.classify.settings import LoopSettings
from unpoison.core.classes import list_names, match_classes
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet


def check_sets(train_set: ImageSet, test_set: ImageSet, settings: LoopSettings) -> ImageSet:
    """Refuse sets that a classifier cannot be trained or tested on by these settings.

    Returns:
        The test set, its classes numbered like those of the training set.

    Raises:
        DataError: a picture is broken.
        SettingsError: pictures, labels or classes are missing, or the two sets do not fit each other or the settings.
    """
    for image_set in (train_set, test_set):
        if not len(image_set):
            raise SettingsError(f"{image_set.name} holds no pictures")
        image_set.check_headers()
        unknown = int((image_set.labels < 0).sum())
        if unknown:
            raise SettingsError(f"{unknown} pictures of {image_set.name} have no label; training and testing need all")
    test_set = match_classes(test_set, train_set.class_names, wanted_by=train_set.name)
    absent = [name for name, count in train_set.count_per_class().items() if count == 0]
    if absent:
        raise SettingsError(f"{train_set.name} has no picture of {list_names(absent)}; a classifier needs every class")
    if len(train_set) < 2:
        raise SettingsError(f"{train_set.name} holds one picture; training needs at least two")
    if not np.array_equal(train_set.sizes[0], test_set.sizes[0]):
        raise SettingsError(
            f"{train_set.name} and {test_set.name} hold pictures of different sizes; resize one of them first"
        )
    _check_sides(settings, int(train_set.sizes[0].min()))
    return test_set


def _check_sides(settings: LoopSettings, side: int) -> None:
    if settings.cutout > side:
        raise SettingsError(
            f"cutout={settings.cutout} is larger than the pictures, whose shorter side is {side} pixels"
        )
    if settings.reflect and settings.crop_padding >= side:
        raise SettingsError(f"crop_padding={settings.crop_padding} cannot mirror pictures of {side} pixels; lower it")
