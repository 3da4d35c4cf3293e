"""Image sets that are objects of other libraries, told apart without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet


def read_object(source: Any) -> ImageSet:
    """The set that an object holds: a `datasets.Dataset`, a map-style dataset of (picture, label), a list of pictures.

    Raises:
        SettingsError: it is neither.
        DataError: a row of it is bad.
    """
    if isinstance(source, ImageSet):
        return source
    if is_huggingface(source):
        from unpoison.data.formats.huggingface import HuggingFaceImageSet

        return HuggingFaceImageSet(source)
    if isinstance(source, (list, tuple)) and source and all(map(is_picture, source)):
        from unpoison.data.pictures.loose import list_pictures

        return list_pictures(source)
    if isinstance(source, Mapping):
        raise SettingsError(
            f"a {type(source).__name__} holds several sets; choose one of {', '.join(map(str, source))}"
        )
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
        raise SettingsError(
            f"a {type(source).__name__} is no image set: name a path, or give an object with a length and rows; "
            "what is only iterated over cannot be read twice"
        )
    from unpoison.data.formats.pair_dataset import PairImageSet

    return PairImageSet(source)


def is_huggingface(value: Any) -> bool:
    """Whether it is a `datasets.Dataset`; where the package is not loaded, nothing can be."""
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(value, datasets.Dataset)


def is_picture(value: Any) -> bool:
    """Whether it is an array, a tensor or a Pillow image; one may hold several pictures."""
    torch = sys.modules.get("torch")
    return isinstance(value, (np.ndarray, Image.Image)) or (torch is not None and isinstance(value, torch.Tensor))
