"""CIFAR-10 and CIFAR-100 in their binary version: records of label bytes and 3072 bytes of pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.limits import PICKLE_BYTES
from unpoison.data.class_names import CIFAR10 as CIFAR10_CLASSES
from unpoison.data.format import Format, choose_split, is_file, refuse_split
from unpoison.data.official.cifar_python import planes_to_images
from unpoison.data.safe.plain_files import read_lines, read_plain

_FILES: dict[int, dict[str, tuple[str, ...]]] = {
    10: {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)},
    100: {"train": ("train.bin",), "test": ("test.bin",)},
}
_NAMES = {10: "batches.meta.txt", 100: "fine_label_names.txt"}
_LENGTHS = {10: 3073, 100: 3074}  # CIFAR-100 has a byte of coarse label before the fine one


def read_cifar_binary(classes: int, path: Path, split: str | None) -> ImageSet:
    """Read a split of the folder, train if none is named, or one file.

    Args:
        classes: 10 or 100.
        path: folder of the `.bin` files, or one of them.
        split: `train` or `test`; none for a file.
    """
    if path.is_dir():
        files = [path / name for name in _FILES[classes][choose_split(path, split, ("train", "test"))]]
    else:
        refuse_split(path, split)
        files = [path]
    parts = [_read_records(file, classes) for file in files]
    names = path / _NAMES[classes] if path.is_dir() else path.parent / _NAMES[classes]
    image_set = ArrayImageSet(
        np.concatenate([images for images, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
        class_names=_class_names(names, classes),
        name=path.name,
    )
    image_set.format = f"cifar{classes}-bin"
    return image_set


def _read_records(file: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    length = _LENGTHS[classes]
    raw = np.frombuffer(read_plain(file, PICKLE_BYTES), np.uint8)
    if raw.size == 0 or raw.size % length:
        raise DataError(
            file,
            f"{raw.size} bytes are not whole records of {length}",
            "Fetch it again",
            record=raw.size // length,
        )
    records = raw.reshape(-1, length)
    labels = records[:, length - 3073].astype(np.int64)
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise DataError(
            file, f"label {labels[wrong[0]]} is outside 0 to {classes - 1}", "Fetch it again", record=int(wrong[0])
        )
    return planes_to_images(records[:, -3072:]), labels


def _class_names(file: Path, classes: int) -> list[str]:
    if file.is_file():
        names = [line.strip() for line in read_lines(file)]
        names = [name for name in names if name]
        if len(names) != classes:
            raise DataError(file, f"it names {len(names)} classes, not {classes}", "Fetch it again, or remove it")
        return names
    return list(CIFAR10_CLASSES) if classes == 10 else [str(label) for label in range(classes)]


def _claims(classes: int, path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for names in _FILES[classes].values() for name in names)
    # A file of another length is claimed as CIFAR-10, whose reader then says what is wrong with it.
    is_hundred = path.is_file() and path.stat().st_size % _LENGTHS[10] and not path.stat().st_size % _LENGTHS[100]
    return is_file(path, ".bin") and bool(is_hundred) == (classes == 100)


CIFAR10 = Format(claims=partial(_claims, 10), read=partial(read_cifar_binary, 10))
CIFAR100 = Format(claims=partial(_claims, 100), read=partial(read_cifar_binary, 100))
