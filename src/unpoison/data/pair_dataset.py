"""Map-style datasets, torch's and any other, as image sets."""

from __future__ import annotations

import operator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet, Picture, row_ids
from unpoison.data.class_numbers import name_classes
from unpoison.data.loose_pictures import from_object

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
        labels = np.zeros(len(dataset), np.int64)
        for row in range(len(dataset)):
            picture, labels[row] = _take(dataset, row, name)
            sizes[row] = picture.rgb.shape[:2]
        class_names = getattr(dataset, "classes", None)
        if not isinstance(class_names, (list, tuple)) or len(class_names) <= labels.max(initial=-1):
            class_names = name_classes(Path(name), labels)
        super().__init__(name, row_ids(len(dataset)), labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        picture, label = _take(self._dataset, int(index), self.name)
        if picture.rgb.shape[:2] != tuple(self.sizes[index]) or label != self.labels[index]:
            raise DataError(
                self.name,
                "the dataset gives another picture than before",
                "Take random transforms off it",
                record=index,
            )
        return picture


def _take(dataset: Any, row: int, name: str) -> tuple[Picture, int]:
    with _ONE_AT_A_TIME:
        pair = dataset[row]
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise DataError(name, f"the row is a {type(pair).__name__}, not a pair", _REMEDY, record=row)
    try:
        picture, label = from_object(pair[0]), operator.index(pair[1])
        if not -1 <= label < 2**62:
            raise ValueError(f"label {label} is no number of a class")
        return picture, label
    except (TypeError, ValueError) as error:
        raise DataError(name, str(error), _REMEDY, record=row) from None
