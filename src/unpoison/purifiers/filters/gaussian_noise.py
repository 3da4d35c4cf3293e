"""Gaussian noise, drawn once for every picture."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.core.settings import bound_value
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.filters.settings import GaussianNoiseSettings
from unpoison.purifiers.protocol import Purifier


class GaussianNoisePurifier(Purifier):
    """Adds white noise and leaves it there: x + sigma z, what every purifier with a network does before it denoises.

    ECLIPSE adds noise of this strength while training, afresh every epoch; here a picture keeps its draw.

    References:
        Wang et al.: ECLIPSE: Expunging Clean-label Indiscriminate Poisons via Sparse Diffusion Purification,
        ESORICS 2024, https://arxiv.org/abs/2406.15093
    """

    Settings = GaussianNoiseSettings
    halo = 0

    def __init__(self, settings: GaussianNoiseSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.sigma = bound_value(settings.sigma)
        self.strength_255 = 255 * self.sigma

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        return (images + self.sigma * noise.normal(images, "added")).clamp(0, 1)
