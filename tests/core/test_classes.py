"""Classes of two sets matched by name."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.classes import match_classes, match_labels
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.notes import DataWarning

ABOUT = {"name": "test", "wanted_by": "train"}


def test_labels_follow_names():
    labels = np.array([1, 0, -1, 1])
    assert match_labels(labels, ("cat", "emu"), ("emu", "dog", "cat"), **ABOUT).tolist() == [0, 2, -1, 0]
    assert match_labels(labels, ("cat", "emu"), ("cat", "emu"), **ABOUT) is labels
    assert match_labels(labels, ("cat", "emu", "unused"), ("emu", "cat"), **ABOUT).tolist() == [0, 1, -1, 0]


def test_strange_classes_are_refused():
    with pytest.raises(SettingsError, match="test has pictures of emu, but the classes of train are cat, dog"):
        match_labels(np.array([0, 1]), ("cat", "emu"), ("cat", "dog"), **ABOUT)
    with pytest.raises(SettingsError, match="'crane' names several classes"):
        match_labels(np.array([0]), ("crane",), ("crane", "cat", "crane"), **ABOUT)


def test_where_one_has_numbers_only_they_count_and_a_line_says_so():
    with pytest.warns(DataWarning, match="test: classes matched by number with those of train"):
        assert match_labels(np.array([0, 1]), ("0", "1"), ("cat", "dog", "emu"), **ABOUT).tolist() == [0, 1]
    with pytest.warns(DataWarning, match="matched by number"):
        assert match_labels(np.array([0, 1]), ("cat", "dog"), ("0", "1"), **ABOUT).tolist() == [0, 1]
    with pytest.raises(SettingsError, match="pictures of cat, emu, but the classes of train are 0, 1, 2"):
        match_labels(np.array([0, 1]), ("cat", "emu"), ("0", "1", "2"), **ABOUT)  # which of them is missing?
    with pytest.raises(SettingsError, match="pictures of 2"):
        match_labels(np.array([2]), ("0", "1", "2"), ("cat", "dog"), **ABOUT)


def test_folders_called_by_numbers_are_matched_by_name():
    """Sorted as text they stand in another order."""
    numbers, folders = [str(number) for number in range(11)], sorted(str(number) for number in range(11))
    assert folders.index("10") == 2
    assert match_labels(np.array([10, 2]), numbers, folders, **ABOUT).tolist() == [2, 3]
    assert match_labels(np.array([2, 3]), folders, numbers, **ABOUT).tolist() == [10, 2]


def test_a_set_in_other_numbers():
    image_set = ArrayImageSet(np.zeros((2, 4, 4, 3), np.uint8), [0, 1], class_names=("dog", "cat"))
    matched = match_classes(image_set, ("cat", "dog", "emu"), wanted_by="train")
    assert matched.labels.tolist() == [1, 0]
    assert (matched.class_names, matched.ids) == (("cat", "dog", "emu"), image_set.ids)
    assert matched.array() is image_set.images
    assert match_classes(image_set, ("dog", "cat"), wanted_by="train") is image_set
