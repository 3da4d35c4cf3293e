"""Grayscale: keep the luma alone."""

from __future__ import annotations

from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.core.pixels import luma
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.filters.settings import GrayscaleSettings
from unpoison.purifiers.protocol import Purifier


class GrayscalePurifier(Purifier):
    """Removes low-frequency colour poisons and nothing else.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = GrayscaleSettings
    is_random = False
    halo = 0

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        return luma(images).expand(-1, 3, -1, -1).clone()
