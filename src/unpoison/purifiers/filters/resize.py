"""Resizing: make every picture smaller, and as large as it was again."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import ResizeSettings


class ResizeFilter(Filter):
    """Shrinks by `factor` with bicubic weights that cover all pixels, and enlarges again: a low-pass filter.

    No paper's in particular: what every table should hold because it is so cheap.
    """

    Settings = ResizeSettings
    halo = None  # where the pixels of the small picture lie depends on the whole

    def apply(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        smaller = [max(1, round(side / self.settings.factor)) for side in (height, width)]
        small = F.interpolate(images, size=smaller, mode="bicubic", antialias=True, align_corners=False)
        return F.interpolate(small, size=[height, width], mode="bicubic", align_corners=False).clamp(0, 1)
