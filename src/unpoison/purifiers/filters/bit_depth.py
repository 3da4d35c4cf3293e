"""Bit depth: keep the highest bits of every value."""

from __future__ import annotations

from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import BitDepthSettings


class BitDepthFilter(Filter):
    """Sets the lowest bits of every 8-bit value to 0: floor(x 2^bits / 256) 256 / 2^bits.

    Perturbations of 8/255 mostly lie below the bits that are kept. So does much of the picture, which also becomes
    darker, by half a step in the mean; `quantise` rounds instead.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = BitDepthSettings

    def apply(self, images: Tensor) -> Tensor:
        step = 2 ** (8 - self.settings.bits)
        levels = images.mul(255).round()
        return levels.div(step).floor().mul(step / 255)
