"""Pictures brought to one size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from unpoison.core.errors import SettingsError
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.picture import Picture


class ResizedSet(ImageSet):
    """Another set's pictures, resized when they are asked for.

    Args:
        whole: the set.
        size: side of every picture.
    """

    def __init__(self, whole: ImageSet, size: int):
        self._whole, self._size = whole, size
        self.inherit(whole)
        sizes = np.where(whole.sizes > 0, size, 0)  # a broken header stays one, for decoding to report
        super().__init__(whole.name, whole.ids, whole.labels, whole.class_names, sizes)

    def picture(self, index: int) -> Picture:
        picture = self._whole.picture(index)
        alpha = None if picture.alpha is None else _square(picture.alpha, self._size)
        return Picture(_square(picture.rgb, self._size), picture.mode, alpha)

    def stamp(self, rows: range) -> str:
        return hash_json([self._whole.stamp(rows), self._size])


def resize(image_set: ImageSet, size: int) -> ImageSet:
    """Squares of one size: the shorter side becomes `size`, and the middle of the longer one is kept.

    The filter is Pillow's Lanczos, which takes all pixels into account that a new one covers.

    Args:
        image_set: pictures of any sizes; they may also be smaller.
        size: side of the squares, at least 1.

    Raises:
        SettingsError: the size is not from 1 to 10,000.
    """
    if not 1 <= size <= 10_000:
        raise SettingsError(f"size={size}: pictures of that side are not made; choose 1 to 10000")
    return ResizedSet(image_set, size)


def _square(array: np.ndarray, size: int) -> np.ndarray:
    """[H, W, ...] uint8 to [size, size, ...]."""
    height, width = array.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    image = Image.fromarray(array)
    return np.array(image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)))
