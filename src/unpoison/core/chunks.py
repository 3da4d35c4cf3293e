"""Parts of a set: a few pictures at a time, so that a large one needs no more memory; some that stand for all."""

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


def spread_rows(labels: np.ndarray, count: int) -> list[int]:
    """Some rows spread evenly over a set: every class in turn as long as it has pictures, evenly within each.

    Args:
        labels: [N] class of each picture.
        count: how many rows; fewer where the set is smaller.

    Returns:
        Rows, class by class.

    Examples:
        >>> spread_rows(np.array([0, 0, 0, 0, 1, 2, 2, 2, 2, 2]), 5)
        [1, 3, 4, 6, 8]
    """
    classes = np.unique(labels)
    if len(classes) > count:
        classes = classes[_evenly(len(classes), count)]
    members = [np.flatnonzero(labels == label) for label in classes]
    shares = [0] * len(members)
    for _ in range(min(count, sum(map(len, members)))):
        open_classes = [place for place, rows in enumerate(members) if shares[place] < len(rows)]
        shares[min(open_classes, key=shares.__getitem__)] += 1
    return [
        int(rows[place]) for rows, share in zip(members, shares, strict=True) for place in _evenly(len(rows), share)
    ]


def _evenly(length: int, count: int) -> list[int]:
    """The middles of `count` equal parts of a row of this length."""
    return [(2 * part + 1) * length // (2 * count) for part in range(count)]
