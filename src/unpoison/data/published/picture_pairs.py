"""Lists of (Pillow image, label), as the poisoning benchmark and PureGen store them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.limits import CLASSES
from unpoison.core.picture import Picture
from unpoison.data.class_names import show_label

_REMEDY = "Fetch it again, or name its format with --format"


def stack_pairs(path: Path, pairs: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and the labels of a list.

    Args:
        path: file name for errors.
        pairs: what the file holds.

    Returns:
        [N, H, W, 3] uint8 and [N] int64.

    Raises:
        DataError: it is no such list, or its pictures differ in size.
    """
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise DataError(path, "it is not a list of (picture, label)", _REMEDY)
    pictures, labels = zip(*(check_pair(path, pair, row) for row, pair in enumerate(pairs)), strict=True)
    for row, picture in enumerate(pictures):
        if picture.shape != pictures[0].shape:
            height, width = picture.shape[:2]
            problem = f"the picture is {width}x{height}, the first {pictures[0].shape[1]}x{pictures[0].shape[0]}"
            raise DataError(path, problem, _REMEDY, record=row)
    return np.stack(pictures), np.array(labels, np.int64)


def check_pair(path: Path, pair: Any, record: object) -> tuple[np.ndarray, int]:
    """One picture, [H, W, 3] uint8, and its label.

    Raises:
        DataError: it is no such pair.
    """
    if not isinstance(pair, (list, tuple)) or len(pair) < 2 or not isinstance(pair[0], Picture):
        raise DataError(path, "it is not a pair of a Pillow image and a label", _REMEDY, record=record)
    if not pair[0].rgb.size:
        raise DataError(path, "the picture is empty", _REMEDY, record=record)
    return pair[0].rgb, check_class(path, pair[1], record)


def check_class(path: Path, label: Any, record: object) -> int:
    """A label: a whole number, or an array or tensor that holds a single one.

    Raises:
        DataError: it is none.
    """
    if isinstance(label, np.ndarray) and label.size == 1:
        label = label.reshape(())[()]
    if not isinstance(label, (int, np.integer)) or not 0 <= label < CLASSES:
        raise DataError(path, f"label {show_label(label)} is no number of a class", _REMEDY, record=record)
    return int(label)


def check_rows(path: Path, rows: Any, count: int) -> np.ndarray:
    """Row numbers, one for each picture.

    Args:
        path: file name for errors.
        rows: a list or an array of whole numbers.
        count: how many there must be.

    Returns:
        [N] int64, none negative.

    Raises:
        DataError: they are not of that kind.
    """
    try:
        found = np.asarray(rows)
    except ValueError:
        found = np.zeros(0)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(path, "it is not a list of row numbers", _REMEDY)
    if len(found) != count:
        raise DataError(path, f"it has {len(found)} row numbers for {count} pictures", _REMEDY)
    if (found < 0).any() or (found >= 2**31).any():
        wrong = int(np.flatnonzero((found < 0) | (found >= 2**31))[0])
        raise DataError(path, f"{show_label(found[wrong])} is no row number", _REMEDY, record=wrong)
    return found.astype(np.int64)
