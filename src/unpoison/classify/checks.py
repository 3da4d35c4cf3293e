"""What a pair of sets must have before a classifier is trained on one and tested on the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet


def check_sets(train_set: ImageSet, test_set: ImageSet) -> None:
    """Refuse sets that a classifier cannot be trained or tested on.

    Raises:
        SettingsError: pictures, labels or classes are missing, or the two sets do not fit each other.
    """
    for image_set in (train_set, test_set):
        if not len(image_set):
            raise SettingsError(f"{image_set.name} holds no pictures")
        unknown = int((image_set.labels < 0).sum())
        if unknown:
            raise SettingsError(f"{unknown} pictures of {image_set.name} have no label; training and testing need all")
    if train_set.class_names != test_set.class_names:
        raise SettingsError(
            f"{train_set.name} has the classes {_list(train_set.class_names)} but "
            f"{test_set.name} has {_list(test_set.class_names)}; train and test sets need the same, in the same order"
        )
    absent = [name for name, count in train_set.count_per_class().items() if count == 0]
    if absent:
        raise SettingsError(f"{train_set.name} has no picture of {_list(absent)}; a classifier needs every class")
    if len(train_set) < 2:
        raise SettingsError(f"{train_set.name} holds one picture; training needs at least two")
    if not np.array_equal(train_set.sizes[0], test_set.sizes[0]):
        raise SettingsError(
            f"{train_set.name} and {test_set.name} hold pictures of different sizes; resize one of them first"
        )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown}, ... ({len(names)} in all)"
