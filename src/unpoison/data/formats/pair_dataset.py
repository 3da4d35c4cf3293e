"""Map-style datasets, torch's and any other, as image sets."""

from __future__ import annotations

import operator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet, row_ids
from unpoison.core.picture import Picture
from unpoison.data.labels import read_labels
from unpoison.data.pictures.loose import from_object

_REMEDY = "Give rows of (picture, label): a Pillow image, uint8 [H, W, 3] or a tensor [3, H, W] in [0, 1], and a number"
_ONE_AT_A_TIME = Lock()  # runs read in several threads, and few datasets are made for that


class PairImageSet(ImageSet):
    """A dataset whose rows are (picture, label). Every row is asked for once at the start, and again when it is used.

    The ids are the rows. Names of the classes are those of `dataset.classes`, else numbers.

    Args:
        dataset: anything with a length and rows. Without random transforms: a row must be the same each time.

    Raises:
        DataError: a row is no such pair.
    """

    format = "dataset"

    def __init__(self, dataset: Any):
        self._dataset = dataset
        name = type(dataset).__name__
        sizes = np.zeros((len(dataset), 2), np.int32)
        self._stored: list[Any] = []
        for row in range(len(dataset)):
            picture, label = _take(dataset, row, name)
            self._stored.append(label)
            sizes[row] = picture.rgb.shape[:2]
        labels = read_labels(Path(name), self._stored)
        class_names = getattr(dataset, "classes", None)
        are_numbers = any(type(label) is int for label in self._stored)
        if not are_numbers or not isinstance(class_names, (list, tuple)) or len(class_names) < len(labels.class_names):
            class_names = labels.class_names
        super().__init__(name, row_ids(len(dataset)), labels.numbers, class_names, sizes)
        self.notes = labels.notes

    def picture(self, index: int) -> Picture:
        picture, label = _take(self._dataset, int(index), self.name)
        if picture.rgb.shape[:2] != tuple(self.sizes[index]) or label != self._stored[index]:
            raise DataError(
                self.name,
                "the dataset gives another picture than before",
                "Take random transforms off it",
                record=index,
            )
        return picture


def _take(dataset: Any, row: int, name: str) -> tuple[Picture, Any]:
    """The picture and the label of a row; a label as a number, a text or None, or as a text that shows what it is."""
    with _ONE_AT_A_TIME:
        pair = dataset[row]
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise DataError(name, f"the row is a {type(pair).__name__}, not a pair", _REMEDY, record=row)
    try:
        return from_object(pair[0]), _plain(pair[1])
    except (TypeError, ValueError) as error:
        raise DataError(name, str(error), _REMEDY, record=row) from None


def _plain(label: Any) -> Any:
    if label is None or isinstance(label, (str, bool, float)):
        return None if label != label else label
    try:
        return operator.index(label)  # also of tensors and arrays that hold one number
    except TypeError:
        return [str(label)]
