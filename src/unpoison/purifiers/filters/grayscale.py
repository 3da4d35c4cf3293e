"""Grayscale: keep the luma alone."""

from __future__ import annotations

from torch import Tensor

from unpoison.core.pixels import luma
from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import GrayscaleSettings


class GrayscaleFilter(Filter):
    """Removes low-frequency colour poisons and nothing else.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = GrayscaleSettings

    def apply(self, images: Tensor) -> Tensor:
        return luma(images).expand(-1, 3, -1, -1).clone()
