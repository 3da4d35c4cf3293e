"""Chunks of a set, a few pictures at a time, so that a large one needs no more memory than a small one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

_VALUES = 8_000_000  # pixels times channels at once: 32 MB as float32, and who walks holds a handful of such arrays


def slices(count: int, picture: tuple[int, ...]) -> Iterator[slice]:
    """Consecutive parts of `count` pictures of a shape, together all of them."""
    size = max(1, _VALUES // math.prod(picture))
    for start in range(0, count, size):
        yield slice(start, start + size)


def class_chunks(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Some pictures of one class at a time.

    Args:
        images: [N, H, W, C]; gives the size of a picture.
        labels: [N] class indices.

    Yields:
        The class, and rows of it [n] int64, ascending; classes in order.
    """
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        for part in slices(len(members), images.shape[1:]):
            yield label, members[part]
