"""The UCI handwritten digits, shipped with the package: a real set for the demo and for tests.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0. The copy is that of scikit-learn (`load_digits`), its levels 0 to
16 spread over 0 to 255; `scripts/make_digits.py` makes the file.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from unpoison.core.images import ArrayImageSet, ImageSet, row_ids
from unpoison.data.format import Format, choose_split
from unpoison.data.formats.npz import read_arrays

# Rows of the stored order: the first 200 hold 20 of each class.
_SPLITS = {"sparse": slice(0, 200), "train": slice(200, 1200), "test": slice(1200, None)}


def read_digits(path: Path, split: str | None) -> ImageSet:
    """Read a split: `sparse` (200, class-balanced), `train` (1000, the default) or `test` (597), disjoint.

    The pictures are grey, 16x16, doubled from 8x8; an id is the row in the original set.
    """
    rows_of_split = _SPLITS[choose_split(path, split, tuple(_SPLITS))]
    with resources.as_file(resources.files("unpoison.data.formats") / "digits.npz") as file:
        arrays = read_arrays(file, ("images", "labels", "order"))
    rows = np.sort(arrays["order"][rows_of_split])
    grey = double(arrays["images"][rows])
    ids = row_ids(len(arrays["images"]))
    image_set = ArrayImageSet(
        np.repeat(grey[..., None], 3, axis=3),
        arrays["labels"][rows],
        class_names=[str(digit) for digit in range(10)],
        ids=[ids[row] for row in rows],
        name="digits",
        mode="L",
    )
    image_set.format = "digits"
    return image_set


def double(grey: np.ndarray) -> np.ndarray:
    """Bilinear enlargement to twice the size, in integers, so that every machine gets the same bytes.

    Args:
        grey: [N, H, W] uint8.

    Returns:
        [N, 2H, 2W] uint8.
    """
    wide = grey.astype(np.uint16)
    for axis in (1, 2):
        padded = np.pad(wide, [(1, 1) if dimension == axis else (0, 0) for dimension in range(3)], mode="edge")
        length = wide.shape[axis]
        before, after = (np.take(padded, np.arange(start, start + length), axis) for start in (0, 2))
        # A new pixel lies a quarter of an old one off its centre: 3 parts of it, 1 of the neighbour on that side.
        pairs = np.stack([3 * wide + before, 3 * wide + after], axis=axis + 1)
        wide = pairs.reshape([2 * side if dimension == axis else side for dimension, side in enumerate(wide.shape)])
    return ((wide + 8) // 16).astype(np.uint8)


FORMAT = Format(claims=lambda path: str(path) == "digits", read=read_digits)
