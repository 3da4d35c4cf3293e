"""Setting pictures aside that cannot be decoded."""

from __future__ import annotations

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet


def set_bad_aside(image_set: ImageSet) -> tuple[ImageSet, list[DataError]]:
    """Decode every picture once and leave out those that fail.

    Args:
        image_set: any set.

    Returns:
        The set without its bad pictures, and one error per bad picture, in order.
    """
    good, bad = [], []
    for row in range(len(image_set)):
        try:
            image_set.picture(row)
        except DataError as error:
            bad.append(error)
        else:
            good.append(row)
    return (image_set.subset(good) if bad else image_set), bad
