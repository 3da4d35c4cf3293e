"""Sets made from other sets: the same pictures under other labels, or other pixels in their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.picture import Picture


class Relabelled(ImageSet):
    """The pictures of another set, its classes numbered otherwise.

    Args:
        whole: the set.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
    """

    def __init__(self, whole: ImageSet, labels: np.ndarray, class_names: Sequence[str]):
        self._whole = whole
        self.inherit(whole)
        self.columns = None  # its labels are the old ones
        super().__init__(whole.name, whole.ids, labels, class_names, whole.sizes)

    def picture(self, index: int) -> Picture:
        return self._whole.picture(index)

    def array(self) -> np.ndarray:
        return self._whole.array()

    def stamp(self, rows: range) -> str:
        return self._whole.stamp(rows)


class Repainted(ArrayImageSet):
    """Another set with other pixels. Pictures that are as they were keep their channels, others their transparency.

    Args:
        source: pictures of one size.
        images: [N, H, W, 3] uint8.
        name: short name for records.
    """

    def __init__(self, source: ImageSet, images: np.ndarray, *, name: str):
        super().__init__(images, source.labels, class_names=source.class_names, ids=source.ids, name=name)
        self.inherit(source)
        self._source = source

    def picture(self, index: int) -> Picture:
        before, now = self._source.picture(index), self.images[index]
        return before if np.array_equal(before.rgb, now) else Picture(now, _colour(before.mode), before.alpha)


def _colour(mode: str) -> str:
    """The mode of a picture that was painted over: in colour, with what stands after it."""
    _, comma, rest = mode.partition(",")
    return f"RGB{comma}{rest}"
