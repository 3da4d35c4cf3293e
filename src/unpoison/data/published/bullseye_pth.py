"""Poisons of Bullseye Polytope: `poison_00799.pth`, a dict with `poison`, normalised tensors with labels, and `idx`.

Reference: Aghakhani et al., Bullseye Polytope: A Scalable Clean-Label Poisoning Attack with Improved Transferability,
2021, https://arxiv.org/abs/2005.00191.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format, is_file, refuse_split
from unpoison.data.published.arrays import name_cifar, to_pictures
from unpoison.data.published.picture_pairs import check_class
from unpoison.data.safe.opcodes import outline_torch
from unpoison.data.safe.torch_files import read_torch

# The constants that the poisons were normalised by; those of the attacked classifiers differ.
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(3, 1, 1)
STD = np.array([0.2023, 0.1994, 0.2010], np.float32).reshape(3, 1, 1)
_NAME = re.compile(r"poison_\d{1,9}\.pth")
_REMEDY = "Fetch it again, or name its format with --format"


def read_bullseye(path: Path, split: str | None) -> ImageSet:
    """Read the poisons alone, in the order of the file, rounded to 8 bits."""
    refuse_split(path, split)
    content = read_torch(path)
    records = content.get("poison") if isinstance(content, dict) else None
    if not isinstance(records, (list, tuple)) or not records:
        raise DataError(path, "it is not a dict with the list 'poison'", _REMEDY)
    tensors: list[np.ndarray] = []
    labels: list[int] = []
    for row, record in enumerate(records):
        if not isinstance(record, (list, tuple)) or len(record) != 2 or not isinstance(record[0], np.ndarray):
            raise DataError(path, "it is not a pair of a tensor and a label", _REMEDY, record=row)
        tensor = record[0].squeeze(0) if record[0].ndim == 4 and len(record[0]) == 1 else record[0]
        if tensor.ndim != 3 or len(tensor) != 3 or (tensors and tensor.shape != tensors[0].shape):
            raise DataError(path, f"the tensor is {list(record[0].shape)}, not [3, H, W]", _REMEDY, record=row)
        tensors.append(tensor * STD + MEAN)
        labels.append(check_class(path, record[1], row))
    images = to_pictures(path, np.stack(tensors), unit=1, quantise="round", channels_first=True)
    names = name_cifar(path, np.array(labels), images)
    image_set = ArrayImageSet(images, labels, class_names=names, name=path.name)
    image_set.format = "bullseye-pth"
    return image_set


def _claims(path: Path) -> bool:
    if not is_file(path, ".pt", ".pth"):
        return False
    outline = outline_torch(path)
    return bool(_NAME.fullmatch(path.name)) or (outline.top == "dict" and {"poison", "idx"} <= outline.texts)


FORMAT = Format(claims=_claims, read=read_bullseye)
