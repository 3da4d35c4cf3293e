"""Jitter: every pixel taken from somewhere near."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.noise import Noise
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.filters.settings import JitterSettings
from unpoison.purifiers.protocol import Purifier


class JitterPurifier(Purifier):
    """Takes every pixel, its channels alike, from a random place up to `reach` pixels away each way, or between pixels.

    Poisons that are convolutions of the picture (`cuda`) say the class by how a pixel goes with its neighbours, which
    no added noise hides; this is made to break it. It is rough on a picture: put `fast` behind it, and draw afresh
    every epoch.

    References:
        Wang et al.: Corrupting Convolution-based Unlearnable Datasets with Pixel-based Image Transformations,
        AAAI 2025, https://arxiv.org/abs/2311.18403
    """

    Settings = JitterSettings

    def __init__(self, settings: JitterSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.reach = settings.reach
        self.halo = ceil(self.reach)

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        height, width = images.shape[2:]
        uniform = torch.special.ndtr(noise.normal(images[:, :2], "offsets"))  # as even as the normal values are normal
        offsets = self.reach * (2 * uniform - 1)
        rows = torch.arange(height, device=images.device)[:, None] + offsets[:, 0]
        columns = torch.arange(width, device=images.device) + offsets[:, 1]
        # places in [-1, 1] between the middles of the outermost pixels
        places = torch.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], dim=-1)
        return F.grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=True)
