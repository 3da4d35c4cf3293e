"""PureGen's sets: a list of (Pillow image, label), or for one target (that list, base rows, trigger or class).

Reference: Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense, 2024,
https://arxiv.org/abs/2405.18627.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format, is_file, refuse_split
from unpoison.data.published.arrays import name_cifar
from unpoison.data.published.picture_pairs import check_class, check_rows, stack_pairs
from unpoison.data.safe.opcodes import outline_torch
from unpoison.data.safe.torch_files import read_torch


@dataclass(frozen=True)
class PuregenFile:
    """What a file holds.

    Args:
        images: [N, H, W, 3] uint8.
        labels: [N] int64.
        base_rows: [N] rows of the training set that the pictures stand for; None in a file of a whole set.
        trigger: [1, 3, H, W] float in [-1, 1] units, in a file of Narcissus.
        intended_class: what the target is to be taken for, in the others.
    """

    images: np.ndarray
    labels: np.ndarray
    base_rows: np.ndarray | None = None
    trigger: np.ndarray | None = None
    intended_class: int | None = None


def read_puregen_file(path: Path) -> PuregenFile:
    """Read a file of either kind.

    Raises:
        DataError: it is neither.
    """
    content = read_torch(path)
    if isinstance(content, list):
        return PuregenFile(*stack_pairs(path, content))
    if not isinstance(content, tuple) or len(content) != 3:
        raise DataError(path, "it is no list of pictures, nor one with base rows and target", "Name its format")
    images, labels = stack_pairs(path, content[0])
    base_rows = check_rows(path, content[1], len(images))
    target = content[2]
    if isinstance(target, np.ndarray) and target.ndim == 4:
        return PuregenFile(images, labels, base_rows, trigger=target)
    return PuregenFile(images, labels, base_rows, intended_class=check_class(path, target, "target"))


def read_puregen(path: Path, split: str | None) -> ImageSet:
    """Read the pictures, in the order of the file."""
    refuse_split(path, split)
    file = read_puregen_file(path)
    names = name_cifar(path, file.labels, file.images)
    image_set = ArrayImageSet(file.images, file.labels, class_names=names, name=path.name)
    image_set.format = "puregen-pth"
    return image_set


def _claims(path: Path) -> bool:
    if not is_file(path, ".pt", ".pth"):
        return False
    outline = outline_torch(path)
    return outline.top == "list" and outline.has_pictures


FORMAT = Format(claims=_claims, read=read_puregen)
