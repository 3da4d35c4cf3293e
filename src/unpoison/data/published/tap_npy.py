"""The NumPy export of adversarial poisons: `poisoned_training_data.npy`, 0 to 255 as float64, and its labels.

Reference: Fowl et al., Adversarial Examples Make Strong Poisons, 2021, https://arxiv.org/abs/2106.10807.
"""

from __future__ import annotations

from pathlib import Path

from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format, refuse_split
from unpoison.data.published.arrays import check_labels, name_cifar, to_pictures
from unpoison.data.safe.npy import read_npy

PICTURES, LABELS = "poisoned_training_data.npy", "poisoned_training_labels.npy"


def read_tap(path: Path, split: str | None) -> ImageSet:
    """Read a folder with both files, in the order of the training set it was made from."""
    refuse_split(path, split)
    images = to_pictures(path / PICTURES, read_npy(path / PICTURES), unit=255, quantise="round")
    labels = check_labels(path / LABELS, read_npy(path / LABELS), len(images))
    image_set = ArrayImageSet(images, labels, class_names=name_cifar(path, labels, images), name=path.resolve().name)
    image_set.format = "tap-npy"
    return image_set


FORMAT = Format(claims=lambda path: (path / PICTURES).is_file(), read=read_tap)
