"""`CIFAR10_TRAIN_Split.pth`: CIFAR-10's training set as Bullseye Polytope and PureGen part it, for transfer learning.

A dict of lists of (Pillow image, label): `FILE#clean_train`, 4,800 of each class, trained the published bodies, and on
the first of each class in `FILE#others`, the remaining 200, victims transfer. `unpoison convert cifar#train DST
--per-class 4800:` makes such a part from any set by the same rule.

Reference: Aghakhani et al., Bullseye Polytope: A Scalable Clean-Label Poisoning Attack with Improved Transferability,
2021, https://arxiv.org/abs/2005.00191.
"""

from __future__ import annotations

import re
from pathlib import Path

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format, is_file
from unpoison.data.published.arrays import name_cifar
from unpoison.data.published.picture_pairs import stack_pairs
from unpoison.data.safe.opcodes import outline_torch
from unpoison.data.safe.torch_files import read_torch
from unpoison.data.safe.torch_legacy import is_legacy, outline_legacy

_NAME = re.compile(r"cifar10_train_split.*\.pth", re.IGNORECASE)


def read_bullseye_split(path: Path, split: str | None) -> ImageSet:
    """Read one of the parts, in the order of the file.

    Raises:
        SettingsError: none was named, or there is no such part.
        DataError: it is no dict of lists of pictures.
    """
    content = read_torch(path)
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise DataError(path, "it is no dict of lists of pictures", "Fetch it again, or name its format with --format")
    if split not in content:
        asked = "name one of its parts" if split is None else f"it has no part '{split}'"
        raise SettingsError(f"{path}: {asked}, as in {path.name}#NAME: {', '.join(key[:40] for key in content)}")
    images, labels = stack_pairs(path, content[split])
    names = name_cifar(path, labels, images)
    image_set = ArrayImageSet(images, labels, class_names=names, name=path.name)
    image_set.format = "bullseye-split"
    return image_set


def _claims(path: Path) -> bool:
    if not is_file(path, ".pt", ".pth"):
        return False
    if _NAME.fullmatch(path.name):
        return True
    outline = outline_legacy(path) if is_legacy(path) else outline_torch(path)
    return outline.top == "dict" and outline.has_pictures


FORMAT = Format(claims=_claims, read=read_bullseye_split)
