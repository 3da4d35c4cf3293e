"""Pictures and labels as published poisons store them: checked, and made 8 bits as their own loaders do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from unpoison.core.chunks import slices
from unpoison.core.errors import DataError
from unpoison.data.class_names import CIFAR10, name_classes, show_label

_REMEDY = "Fetch it again, or name its format with --format"


def to_pictures(
    path: Path,
    values: np.ndarray,
    *,
    unit: float,
    quantise: Literal["round", "truncate"],
    channels_first: bool = False,
) -> np.ndarray:
    """Published floats as pictures.

    Args:
        path: file name for errors.
        values: [N, H, W, 3], or [N, 3, H, W] if `channels_first`; floats from 0 to `unit`.
        unit: what stands for white: 1 or 255.
        quantise: what the poison's own loader does with fractions of a level.
        channels_first: the colours come before rows and columns.

    Returns:
        [N, H, W, 3] uint8.

    Raises:
        DataError: another shape or dtype, or a value that is not finite or out of range.
    """
    colours = 1 if channels_first else 3
    known = values.dtype.kind == "f" or (values.dtype.kind in "iu" and unit == 255)
    if values.ndim != 4 or values.shape[colours] != 3 or not known or 0 in values.shape:
        layout = "[N, 3, H, W]" if channels_first else "[N, H, W, 3]"
        raise DataError(
            path, f"it holds {values.dtype} {list(values.shape)}, pictures must be floats {layout}", _REMEDY
        )
    if channels_first:
        values = values.transpose(0, 2, 3, 1)
    pictures = np.empty(values.shape, np.uint8)
    for rows in slices(len(values), values.shape[1:]):
        block = values[rows]
        # Written so that NaN is refused too. A level more or less is arithmetic of the publisher.
        fine = ((block >= -unit / 255) & (block <= unit * 256 / 255)).all(axis=(1, 2, 3))
        if not fine.all():
            row = rows.start + int(fine.argmin())
            raise DataError(path, f"a value is not a number from 0 to {unit:g}", _REMEDY, record=row)
        levels = (block * values.dtype.type(255 / unit)).clip(0, 255)
        pictures[rows] = np.rint(levels) if quantise == "round" else levels
    return pictures


def check_labels(path: Path, labels: np.ndarray, count: int) -> np.ndarray:
    """Published labels, one for each picture.

    Args:
        path: file name for errors.
        labels: [N] whole numbers.
        count: how many there must be.

    Returns:
        [N] int64.

    Raises:
        DataError: another shape or dtype, or a negative label.
    """
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(path, f"the labels are {labels.dtype} {list(labels.shape)}, not whole numbers [N]", _REMEDY)
    if len(labels) != count:
        raise DataError(path, f"it has {len(labels)} labels for {count} pictures", _REMEDY)
    wrong = np.flatnonzero((labels < 0) | (labels >= 2**31))
    if len(wrong):
        label = show_label(labels[wrong[0]])
        raise DataError(path, f"label {label} is no number of a class", _REMEDY, record=int(wrong[0]))
    return labels.astype(np.int64)


def class_of_one_hot(path: Path, rows: np.ndarray) -> np.ndarray:
    """Labels from [N, K] rows in which a single 1 stands at the class.

    Raises:
        DataError: a row is not of that kind.
    """
    if rows.ndim != 2 or rows.dtype.kind not in "biuf" or rows.shape[1] < 2:
        raise DataError(path, f"it holds {rows.dtype} {list(rows.shape)}, labels must be one-hot [N, K]", _REMEDY)
    fine = ((rows == 0) | (rows == 1)).all(axis=1) & (rows.sum(axis=1) == 1)
    if not fine.all():
        raise DataError(path, "the row is not a single 1 among zeros", _REMEDY, record=int(fine.argmin()))
    labels: np.ndarray = rows.argmax(axis=1).astype(np.int64)
    return labels


def name_cifar(path: Path, labels: np.ndarray, pictures: np.ndarray) -> tuple[str, ...]:
    """Class names for files that carry none: CIFAR-10's at 32 pixels and labels up to 9, else numbers.

    Args:
        path: file name for errors.
        labels: [N] class indices.
        pictures: [N, H, W, 3].
    """
    if pictures.shape[1:3] == (32, 32) and labels.max(initial=0) < len(CIFAR10):
        return CIFAR10
    return tuple(name_classes(path, labels))
