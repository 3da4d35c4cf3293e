"""Gaussian blur."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import GaussianBlurSettings
from unpoison.purifiers.filters.windows import weigh

_DEVIATIONS = 4  # where the bell is cut off: beyond lies less than 1e-4 of it


class GaussianBlurFilter(Filter):
    """Every value becomes a mean of those around it, weighted by a bell of `sigma` pixels; borders are repeated.

    Takes away perturbations of high frequency, and fine structure with them. The published tables use a square of 3
    pixels and sigma 0.1, where a neighbour weighs e^-50: their "Gaussian" columns are the undefended picture.

    References:
        Liu, Zhao, Larson: Image Shortcut Squeezing, ICML 2023, https://arxiv.org/abs/2301.13838
    """

    Settings = GaussianBlurSettings

    def __init__(self, settings: GaussianBlurSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.bell = bell(settings.sigma)
        self.halo = len(self.bell) // 2

    def apply(self, images: Tensor) -> Tensor:
        return weigh(images, self.bell).clamp(0, 1)


def bell(sigma: float) -> list[float]:
    """An odd number of weights that sum to 1, of a Gaussian of `sigma` pixels."""
    reach = math.ceil(_DEVIATIONS * sigma)
    weights = [math.exp(-((place / sigma) ** 2) / 2) for place in range(-reach, reach + 1)]
    return [weight / sum(weights) for weight in weights]
