"""Median filter."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import MedianFilterSettings
from unpoison.purifiers.filters.windows import widen


class MedianFilter(Filter):
    """Every value becomes the median of the square around it, channel by channel; borders are repeated.

    Removes whatever covers less than half the square: the answer to poisons of single pixels, such as `ops`.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = MedianFilterSettings

    def __init__(self, settings: MedianFilterSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.halo = settings.size // 2

    def apply(self, images: Tensor) -> Tensor:
        size = self.settings.size
        squares = widen(images, size // 2).unfold(2, size, 1).unfold(3, size, 1)
        return squares.flatten(-2).median(dim=-1).values
