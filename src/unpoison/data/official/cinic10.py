"""CINIC-10 in its official folders: `train`, `valid` and `test`, each with a folder for every class of CIFAR-10.

Its pictures come from CIFAR-10 and from ImageNet, and the file name says which: `cifar10-train-49.png`,
`n02708093_1004.png`. `ROOT#train-imagenet` is the part from ImageNet, `ROOT#train-cifar10` the other.

Reference: Darlow et al., CINIC-10 is not ImageNet or CIFAR-10, 2018, https://arxiv.org/abs/1810.03505.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path, PurePosixPath

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.data.class_names import CIFAR10
from unpoison.data.format import Format, choose_split
from unpoison.data.formats.folder import read_folder

_PARTS = ("train", "valid", "test")
_NAMES = {"imagenet": re.compile(r"n\d{8}_\d+"), "cifar10": re.compile(r"cifar10-(train|test)-\d+")}
_SPLITS = (*_PARTS, *(f"{part}-{origin}" for part in _PARTS for origin in _NAMES))
_REMEDY = "Fetch CINIC-10 again, or read the folder with --format folder"


def read_cinic10(path: Path, split: str | None) -> ImageSet:
    """Read a part, or what of it comes from ImageNet or from CIFAR-10; train if none is named.

    PureGen looks for `cifar10` anywhere in the path, so that a folder of that name empties its part from ImageNet; here
    only the name of the file counts.

    Raises:
        DataError: other classes than CIFAR-10's, or a name that does not say where the picture comes from.
    """
    part, _, origin = choose_split(path, split, _SPLITS).partition("-")
    whole = read_folder(path, part)
    if whole.class_names != CIFAR10:
        strange = sorted(set(whole.class_names) ^ set(CIFAR10))
        raise DataError(path / part, f"'{strange[0]}' is missing, or is no class of CINIC-10", _REMEDY)
    whole.name, whole.format = path.name, "cinic10"
    if not origin:
        return whole
    rows = [row for row, image_id in enumerate(whole.ids) if _origin(path / part, image_id) == origin]
    return whole.subset(rows)


def _origin(folder: Path, image_id: str) -> str:
    stem = PurePosixPath(image_id).name
    for origin, pattern in _NAMES.items():
        if pattern.fullmatch(stem):
            return origin
    raise DataError(folder / image_id, "its name does not say whether it comes from ImageNet or CIFAR-10", _REMEDY)


def _claims(path: Path) -> bool:
    if not all((path / part / CIFAR10[0]).is_dir() for part in _PARTS):
        return False
    with os.scandir(path / _PARTS[0] / CIFAR10[0]) as entries:
        # Other programs leave files of their own, such as .DS_Store.
        first = [Path(entry.name).stem for entry in islice(entries, 10)]
    return any(pattern.fullmatch(stem) for pattern in _NAMES.values() for stem in first)


FORMAT = Format(claims=_claims, read=read_cinic10)
