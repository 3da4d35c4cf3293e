"""Delusive poisons P1 to P5: `torch.save((float32 [N, 3, 32, 32] in [0, 1], int64 [N]))`, named `Linf.p1` and so on.

Reference: Tao et al., Better Safe Than Sorry: Preventing Delusive Adversaries with Adversarial Training, 2021,
https://arxiv.org/abs/2102.04716.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format, refuse_split
from unpoison.data.published.arrays import check_labels, name_cifar, to_pictures
from unpoison.data.safe.opcodes import outline_torch
from unpoison.data.safe.torch_files import read_torch

_SUFFIX = re.compile(r"\.(pt|pth|p[1-5])", re.IGNORECASE)


def read_delusive(path: Path, split: str | None) -> ImageSet:
    """Read a poisoned set, in the order of the training set it was made from; its loader truncates to 8 bits."""
    refuse_split(path, split)
    pair = read_torch(path)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(item, np.ndarray) for item in pair):
        raise DataError(path, "it is not a pair of pictures and labels", "Name its format with --format")
    images = to_pictures(path, pair[0], unit=1, quantise="truncate", channels_first=True)
    labels = check_labels(path, pair[1], len(images))
    image_set = ArrayImageSet(images, labels, class_names=name_cifar(path, labels, images), name=path.name)
    image_set.format = "delusive-pt"
    return image_set


def _claims(path: Path) -> bool:
    if not _SUFFIX.fullmatch(path.suffix) or not path.is_file():
        return False
    outline = outline_torch(path)
    return outline.top == "array" and outline.storages == 2


FORMAT = Format(claims=_claims, read=read_delusive)
