"""A directory of the poisoning benchmark: `poisons.pickle`, `base_indices.pickle` and `target.pickle`.

Reference: Schwarzschild et al., Just How Toxic is Data Poisoning?, 2021, https://arxiv.org/abs/2006.12557.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.limits import PICKLE_BYTES
from unpoison.data.format import Format, refuse_split
from unpoison.data.published.arrays import name_cifar
from unpoison.data.published.picture_pairs import check_pair, check_rows, stack_pairs
from unpoison.data.safe.pickled_tensors import PICKLED_TENSOR_CALLS
from unpoison.data.safe.plain_files import read_plain
from unpoison.data.safe.unpickle import unpickle

POISONS, BASES, TARGET = "poisons.pickle", "base_indices.pickle", "target.pickle"
_REMEDY = "Fetch the directory again"


@dataclass(frozen=True)
class BenchmarkTarget:
    """The picture that is to be misread.

    Args:
        image: [H, W, 3] uint8, without patch.
        true_class: what it shows.
        patch: [h, w, 3] float32 in [0, 1] that is laid over it, in triggered attacks.
        top: row of the patch's upper edge.
        left: column of its left edge.
    """

    image: np.ndarray
    true_class: int
    patch: np.ndarray | None = None
    top: int = 0
    left: int = 0


def read_poisons(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Poisoned pictures, [N, H, W, 3] uint8, and labels, [N], of a directory."""
    return stack_pairs(path / POISONS, _load(path / POISONS))


def read_bases(path: Path, count: int) -> np.ndarray:
    """Rows of the training set that the poisons stand for: [N] int64."""
    return check_rows(path / BASES, _load(path / BASES), count)


def read_target(path: Path) -> BenchmarkTarget:
    """The target: (picture, class), or (picture, class, patch, [column, row]) if the attack has a trigger.

    Raises:
        DataError: it is of another kind, or the patch leaves the picture.
    """
    file = path / TARGET
    parts = _load(file)
    if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 4):
        raise DataError(file, "it is not a pair of picture and class, with or without a patch", _REMEDY)
    image, true_class = check_pair(file, parts, None)
    if len(parts) == 2:
        return BenchmarkTarget(image, true_class)
    patch, corner = parts[2:]
    if not isinstance(patch, np.ndarray) or patch.ndim != 3 or len(patch) != 3 or patch.dtype.kind != "f":
        raise DataError(file, "the patch is not an array of floats [3, h, w]", _REMEDY)
    if not ((patch >= 0) & (patch <= 1)).all():
        raise DataError(file, "the patch has values that are not numbers from 0 to 1", _REMEDY)
    left, top = check_rows(file, corner, 2).tolist()
    height, width = patch.shape[1:]
    if top + height > image.shape[0] or left + width > image.shape[1]:
        problem = f"the patch of {width}x{height} at column {left}, row {top} leaves the picture"
        raise DataError(file, problem, _REMEDY)
    return BenchmarkTarget(image, true_class, patch.transpose(1, 2, 0).astype(np.float32), top, left)


def read_benchmark(path: Path, split: str | None) -> ImageSet:
    """Read the poisoned pictures alone, in the order of the file."""
    refuse_split(path, split)
    images, labels = read_poisons(path)
    image_set = ArrayImageSet(
        images, labels, class_names=name_cifar(path / POISONS, labels, images), name=path.resolve().name
    )
    image_set.format = "benchmark-dir"
    return image_set


def _load(file: Path) -> Any:
    if not file.is_file():
        raise DataError(file, "there is no such file", "Name a directory with all three pickles of the benchmark")
    return unpickle(read_plain(file, PICKLE_BYTES), file, calls=PICKLED_TENSOR_CALLS)


FORMAT = Format(claims=lambda path: (path / POISONS).is_file(), read=read_benchmark)
