"""Perturbations that are published without pictures: one for each row, or one for each class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unpoison.core.chunks import slices
from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.poisons.protocol import require_labels


def noise_by_row(file: Path, noise: np.ndarray, clean: ImageSet) -> tuple[np.ndarray, str]:
    """Which of the perturbations each picture takes.

    Args:
        file: name for errors.
        noise: [N, 3, H, W] in the order of the set, or [K, 3, H, W] by class.
        clean: the clean set, of N pictures in K classes.

    Returns:
        [N] positions in `noise`, and `sample` or `class`.

    Raises:
        DataError: it fits the set in neither way.
    """
    if noise.ndim != 4 or noise.shape[1] != 3:
        raise DataError(file, f"it holds an array {list(noise.shape)}, noise must be [N, 3, H, W]", "Name its format")
    height, width = clean.array().shape[1:3]
    if noise.shape[2:] != (height, width):
        raise DataError(
            file,
            f"the noise is {noise.shape[3]}x{noise.shape[2]}, the pictures of {clean.name} are {width}x{height}",
            "Name the clean set that it was made from",
        )
    if len(noise) == len(clean):
        return np.arange(len(clean)), "sample"
    if len(noise) == len(clean.class_names):
        require_labels(clean, "noise for classes")
        return clean.labels, "class"
    raise DataError(
        file,
        f"it holds {len(noise)} perturbations, but {clean.name} has {len(clean)} pictures in "
        f"{len(clean.class_names)} classes",
        "Name the clean set that it was made from",
    )


def add_noise(
    clean: ImageSet, noise: np.ndarray, which: np.ndarray, add: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures whose noise is not zero, with it.

    Args:
        clean: the clean set.
        noise: [N or K, 3, H, W].
        which: [N] position of each picture's noise.
        add: maps [n, H, W, 3] uint8 and its noise, [n, H, W, 3], to [n, H, W, 3] uint8.

    Returns:
        [M] rows and [M, H, W, 3] uint8.
    """
    originals = clean.array()
    nonzero = np.array([bool(one.any()) for one in noise])
    rows = np.flatnonzero(nonzero[which])
    images = np.empty((len(rows), *originals.shape[1:]), np.uint8)
    for part in slices(len(rows), originals.shape[1:]):
        block = rows[part]
        images[part] = add(originals[block], noise[which[block]].transpose(0, 2, 3, 1))
    return rows, images
