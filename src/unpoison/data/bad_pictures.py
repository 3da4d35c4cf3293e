"""Pictures that cannot be decoded: named together, or set aside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from unpoison.core.errors import DataError, join_errors
from unpoison.core.images import ImageSet

_LOOK_S = 20.0


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


@contextmanager
def bad_pictures_together(image_set: ImageSet, *, remedy: str) -> Iterator[None]:
    """Where one bad picture ends some work, name all that a look at the set for some seconds finds.

    Args:
        image_set: what is worked on.
        remedy: what the user can do about them.
    """
    try:
        yield
    except DataError:
        bad = _find_bad(image_set)
        if not bad:
            raise  # it was about something else
        raise join_errors(image_set.name, bad, remedy) from None


def _find_bad(image_set: ImageSet) -> list[DataError]:
    end = time.monotonic() + _LOOK_S
    bad = []
    for row in range(len(image_set)):
        if time.monotonic() > end:
            break
        try:
            image_set.picture(row)
        except DataError as error:
            bad.append(error)
    return bad
