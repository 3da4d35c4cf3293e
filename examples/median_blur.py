"""Median blur: every value becomes the median of the square around it."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from unpoison.core.noise import Noise
from unpoison.core.settings import Settings
from unpoison.purifiers.protocol import Purifier


class MedianSettings(Settings):
    """Settings of the median blur.

    Args:
        size: side of the square, in pixels.
    """

    size: Literal[3, 5, 7] = 3


class MedianBlur(Purifier):
    """Removes whatever is thinner than half the square."""

    Settings = MedianSettings
    is_random = False

    def __init__(self, settings: MedianSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.halo = settings.size // 2

    def purify(self, images: Tensor, *, noise: Noise, **hooks: Any) -> Tensor:
        size = self.settings.size
        wider = pad(images, [size // 2] * 4, mode="replicate")
        return wider.unfold(2, size, 1).unfold(3, size, 1).flatten(-2).median(dim=-1).values
