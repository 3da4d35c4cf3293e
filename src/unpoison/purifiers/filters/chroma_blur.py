"""Chroma blur: colours smoothed, brightness left as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.pixels import smooth_luma
from unpoison.purifiers.filters.gaussian_blur import bell
from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import ChromaBlurSettings
from unpoison.purifiers.filters.windows import weigh


class ChromaBlurFilter(Filter):
    """How a pixel's channels differ from its luma becomes a mean over those around it, weighted by a bell of `radius`.

    Colours carry little of what a picture shows, and much of what is added to it by a poison that is made by gradients
    (`em`, `rem`), most of that finer than the colours of photographs. Put it before `fast`, whose noise hides the rest.

    References:
        JPEG's 4:2:0, which halves the resolution of chroma, is the published form: Liu, Zhao, Larson, Image Shortcut
        Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838. The blur is ours.
    """

    Settings = ChromaBlurSettings

    def __init__(self, settings: ChromaBlurSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.bell = bell(settings.radius)
        self.halo = len(self.bell) // 2

    def apply(self, images: Tensor) -> Tensor:
        luma = smooth_luma(images)
        return (luma + weigh(images - luma, self.bell)).clamp(0, 1)
