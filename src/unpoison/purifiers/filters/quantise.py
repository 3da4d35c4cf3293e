"""Quantisation: round every value to one of a few levels."""

from __future__ import annotations

from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import QuantiseSettings


class QuantiseFilter(Filter):
    """Rounds to `levels` evenly spaced values, black and white among them: round(x (levels - 1)) / (levels - 1).

    References:
        Xu, Evans, Qi: Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks, NDSS 2018,
        https://arxiv.org/abs/1704.01155
    """

    Settings = QuantiseSettings

    def apply(self, images: Tensor) -> Tensor:
        steps = self.settings.levels - 1
        return images.mul(steps).round().div(steps)
