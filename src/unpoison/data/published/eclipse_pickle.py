"""ECLIPSE's poisoned and purified sets: a pickled list of (3072 bytes, label)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.class_names import CIFAR10, show_label
from unpoison.data.format import Format, is_file, refuse_split
from unpoison.data.safe.unpickle import read_pickle

_BYTES = 32 * 32 * 3
_REMEDY = "Fetch it again, or name its format with --format"


def read_eclipse_pickle(path: Path, split: str | None) -> ImageSet:
    """Read a set in file order, which is shuffled in the purified sets.

    Each picture is 3072 bytes or as many uint8 in an array, by rows, colours interleaved.
    """
    refuse_split(path, split)
    records = read_pickle(path)
    if not isinstance(records, (list, tuple)) or not records:
        raise DataError(path, "it is not a list of pictures with labels", _REMEDY)
    images = np.empty((len(records), 32, 32, 3), np.uint8)
    labels = np.empty(len(records), np.int64)
    for row, record in enumerate(records):
        images[row], labels[row] = _read_record(path, row, record)
    image_set = ArrayImageSet(images, labels, class_names=CIFAR10, name=path.name)
    image_set.format = "eclipse-pkl"
    return image_set


def _read_record(path: Path, row: int, record: Any) -> tuple[np.ndarray, int]:
    if not isinstance(record, (list, tuple)) or len(record) != 2:
        raise DataError(path, "it is not a pair of picture and label", _REMEDY, record=row)
    pixels, label = record
    if isinstance(pixels, (bytes, bytearray)):
        pixels = np.frombuffer(pixels, np.uint8)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.size != _BYTES:
        raise DataError(path, f"the picture is not {_BYTES} bytes", _REMEDY, record=row)
    if not isinstance(label, (int, np.integer)) or not 0 <= label < len(CIFAR10):
        raise DataError(path, f"label {show_label(label)} is outside 0 to {len(CIFAR10) - 1}", _REMEDY, record=row)
    return pixels.reshape(32, 32, 3), int(label)


FORMAT = Format(claims=lambda path: is_file(path, ".pkl", ".pickle"), read=read_eclipse_pickle)
