"""CIFAR-10 and CIFAR-100 in their Python version: pickles in a folder, or in its `.tar.gz`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.class_names import CIFAR10 as CIFAR10_CLASSES
from unpoison.data.class_names import show_label
from unpoison.data.format import Format, choose_split
from unpoison.data.safe.archives import read_tar
from unpoison.data.safe.unpickle import read_pickle, unpickle

_REMEDY = "Fetch it again from its publisher"
# Per number of classes: the files of each split, the file of class names, and the keys in them.
_FILES: dict[int, dict[str, tuple[str, ...]]] = {
    10: {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    100: {"train": ("train",), "test": ("test",)},
}
_META = {10: ("batches.meta", "label_names"), 100: ("meta", "fine_label_names")}
_LABELS = {10: "labels", 100: "fine_labels"}


def read_cifar(classes: int, path: Path, split: str | None) -> ImageSet:
    """Read a split, train if none is named; the rows are in the order of the release, and the ids are the rows.

    Args:
        classes: 10 or 100.
        path: folder of the batches, one batch file, or the `.tar.gz`.
        split: `train` or `test`.
    """
    files = _FILES[classes][choose_split(path, split, ("train", "test"))]
    meta, names_key = _META[classes]
    if path.is_dir():
        found = {name: read_pickle(path / name) for name in (*files, meta) if (path / name).is_file()}
    else:
        wanted = {*files, meta}
        members = read_tar(path, lambda name: name.name in wanted)
        found = {Path(name).name: unpickle(data, path, record=name) for name, data in members.items()}
    missing = [name for name in files if name not in found]
    if missing:
        what = "" if path.is_dir() else "this is no archive of class folders, nor one of CIFAR: "
        raise DataError(path, f"{what}the file '{missing[0]}' is missing", _REMEDY)
    batches = [_read_batch(path, name, found[name], classes) for name in files]
    class_names = _class_names(path, meta, found.get(meta), names_key, classes)
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    image_set = ArrayImageSet(images, labels, class_names=class_names, name=path.name)
    image_set.format = f"cifar{classes}"
    return image_set


def planes_to_images(planes: np.ndarray) -> np.ndarray:
    """Rows of 3072 bytes, one colour plane after the other, to [N, 32, 32, 3] uint8."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _read_batch(path: Path, name: str, batch: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    data = batch.get("data") if isinstance(batch, dict) else None
    labels = batch.get(_LABELS[classes]) if isinstance(batch, dict) else None
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        raise DataError(path, "it holds no uint8 array 'data' of 3072 bytes a row", _REMEDY, record=name)
    if not isinstance(labels, (list, np.ndarray)) or len(labels) != len(data):
        raise DataError(path, f"it holds no '{_LABELS[classes]}', one per row", _REMEDY, record=name)
    for row, label in enumerate(labels):
        if not isinstance(label, (int, np.integer)) or not 0 <= label < classes:
            raise DataError(
                path, f"label {show_label(label)} is outside 0 to {classes - 1}", _REMEDY, record=f"{name}:{row}"
            )
    return planes_to_images(np.asarray(data)), np.array(labels, np.int64)


def _class_names(path: Path, name: str, meta: Any, key: str, classes: int) -> list[str]:
    if meta is None:
        return list(CIFAR10_CLASSES) if classes == 10 else [str(label) for label in range(classes)]
    names = meta.get(key) if isinstance(meta, dict) else None
    if not isinstance(names, list) or len(names) != classes or not all(isinstance(text, str) for text in names):
        raise DataError(path, f"it holds no list '{key}' of {classes} names", _REMEDY, record=name)
    return names


def _claims(classes: int, path: Path) -> bool:
    if path.is_dir():
        return (path / _FILES[classes]["train"][0]).is_file() and (
            classes == 10 or (path / _META[classes][0]).is_file()
        )
    # The archives are told apart by name: looking inside would unpack them twice.
    return path.name.endswith((".tar.gz", ".tgz")) and path.is_file() and (classes == 100) == ("100" in path.name)


CIFAR10 = Format(claims=partial(_claims, 10), read=partial(read_cifar, 10))
CIFAR100 = Format(claims=partial(_claims, 100), read=partial(read_cifar, 100))
