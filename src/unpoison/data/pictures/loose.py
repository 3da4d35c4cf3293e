"""Pictures that are objects in memory: Pillow images, arrays and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet, row_ids
from unpoison.core.picture import Picture
from unpoison.data.pictures.codec import find_turn, to_picture

_SHAPES = "uint8 [H, W], [H, W, 1] or [H, W, 3]"


class PictureListSet(ImageSet):
    """Pictures in memory that may differ in size, be grey or have transparency.

    Args:
        pictures: the pictures.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
        ids: one per picture.
        name: short name for records.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        labels: Sequence[int] | np.ndarray,
        *,
        class_names: Sequence[str],
        ids: Sequence[str],
        name: str,
    ):
        self._pictures = list(pictures)
        sizes = np.array([picture.rgb.shape[:2] for picture in pictures], np.int32)
        super().__init__(name, ids, labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        return self._pictures[index]


def list_pictures(values: Sequence[Any], rows: Sequence[int] | None = None) -> PictureListSet:
    """A list of pictures, as `from_object` takes them, as a set without labels.

    Args:
        values: the pictures.
        rows: per picture the row that it is named by; the place in the list if left out.

    Raises:
        SettingsError: one is no picture.
    """
    rows = range(len(values)) if rows is None else rows
    pictures = []
    for row, value in zip(rows, values, strict=True):
        try:
            pictures.append(from_object(value))
        except ValueError as error:
            raise SettingsError(f"picture {row}: {error}") from None
    names = row_ids(max(rows, default=-1) + 1)
    return PictureListSet(
        pictures, [-1] * len(pictures), class_names=(), ids=[names[row] for row in rows], name="the list"
    )


def from_object(value: Any) -> Picture:
    """A picture from a Pillow image, a uint8 array, or a tensor of uint8 or of floats in [0, 1].

    Args:
        value: the image; arrays have their channels last, tensors first.

    Raises:
        ValueError: it is none of these; says why.
    """
    if isinstance(value, Image.Image):
        return from_pillow(value)
    if isinstance(value, np.ndarray):
        return _from_array(value)
    import torch  # here, because reading files needs no torch

    if not isinstance(value, torch.Tensor):
        raise ValueError(f"a {type(value).__name__} is no picture")
    if value.ndim != 3:
        raise ValueError(f"a tensor of shape {list(value.shape)} is no picture; it must be [3, H, W] or [1, H, W]")
    if value.dtype != torch.uint8:
        from unpoison.core.pixels import to_uint8

        if not value.is_floating_point() or not bool(((value >= 0) & (value <= 1)).all()):
            raise ValueError(
                f"a tensor of {value.dtype} is no picture unless its values are in [0, 1]; do not normalise"
            )
        return _from_array(to_uint8(value[None])[0])
    return _from_array(value.permute(1, 2, 0).cpu().numpy())


def from_pillow(image: Image.Image) -> Picture:
    """A picture from a Pillow image, as the readers of files make it: EXIF orientation applied, transparency aside.

    Raises:
        ValueError: it has more than 8 bits a channel, or its file is broken.
    """
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"the picture has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    try:
        image.load()
        turn = find_turn(image)
        return to_picture(image if turn is None else image.transpose(turn))
    except Exception as error:  # Pillow decodes only now, and its decoders raise nearly anything on broken bytes
        raise ValueError(f"the picture is broken ({error})") from error


def to_pillow(array: np.ndarray) -> Image.Image:
    """[H, W, C] uint8 as a Pillow image: grey, grey with alpha, RGB or RGBA."""
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def from_channels(array: np.ndarray) -> Picture:
    """The inverse of `Picture.restore`: [H, W, C] uint8 with C from 1 to 4."""
    grey, alpha = array.shape[2] <= 2, array.shape[2] % 2 == 0
    rgb = np.repeat(array[..., :1], 3, axis=2) if grey else np.ascontiguousarray(array[..., :3])
    mode = ("L" if grey else "RGB") + ("A" if alpha else "")
    return Picture(rgb, mode, np.ascontiguousarray(array[..., -1]) if alpha else None)


def _from_array(array: np.ndarray) -> Picture:
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"an array of {array.dtype} {list(array.shape)} is no picture; it must be {_SHAPES}")
    return from_channels(array)
