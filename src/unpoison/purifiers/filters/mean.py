"""Mean filter."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import MeanFilterSettings
from unpoison.purifiers.filters.windows import weigh


class MeanFilter(Filter):
    """Every value becomes the mean of the square around it; borders are repeated.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = MeanFilterSettings

    def __init__(self, settings: MeanFilterSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.halo = settings.size // 2

    def apply(self, images: Tensor) -> Tensor:
        size = self.settings.size
        return weigh(images, [1 / size] * size).clamp(0, 1)
