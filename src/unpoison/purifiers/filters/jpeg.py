"""JPEG: save every image with loss and read it back."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor

from unpoison.core.pixels import to_float, to_uint8
from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import JpegSettings


class JpegFilter(Filter):
    """The strongest of the simple filters: JPEG with 4:2:0 chroma, each image by itself.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = JpegSettings
    halo = 16  # a block of 16x16, and its neighbours through the smoothing of the chroma

    def apply(self, images: Tensor) -> Tensor:
        pictures = np.stack([self._squeeze(picture) for picture in to_uint8(images)])
        return to_float(pictures).to(images.device)

    def _squeeze(self, picture: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        # The subsampling is named because Pillow's default could change.
        Image.fromarray(picture).save(buffer, "JPEG", quality=self.settings.quality, subsampling="4:2:0")
        with Image.open(buffer) as image:
            return np.asarray(image.convert("RGB"))
