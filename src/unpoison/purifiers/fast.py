"""Purification in one to four network calls."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.core.noise import Noise
from unpoison.core.progress import OnStep
from unpoison.core.settings import Bound, Settings, bound_value
from unpoison.dynamics.samplers import ddim, heun, karras_sigmas, one_shot
from unpoison.nets.denoiser import as_denoiser
from unpoison.purifiers.networks import Precision, load_network


class FastSettings(Settings):
    """Settings of the few-call purifier.

    Args:
        model: path of a diffusion model.
        sigma: standard deviation of the noise, in [0, 1] pixel units.
        steps: noise levels visited; a network call each, two each but the last with `heun`.
        sampler: how the noise is removed; with one step all three are one call.
        precision: arithmetic of the network calls.
    """

    model: str = ""
    sigma: Bound = "26/255"
    steps: int = Field(1, ge=1, le=100)
    sampler: Literal["ddim", "heun"] = "ddim"
    precision: Precision = "fp32"


class FastPurifier:
    """Adds Gaussian noise and removes it along few, widely spaced noise levels.

    References:
        Carlini et al.: (Certified!!) Adversarial Robustness for Free!, ICLR 2023, https://arxiv.org/abs/2206.10550
        Karras et al.: Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022,
        https://arxiv.org/abs/2206.00364
    """

    Settings = FastSettings

    def __init__(self, settings: FastSettings, *, device: torch.device):
        self.settings = settings
        model, self.weights = load_network(settings.model, method="fast", precision=settings.precision, device=device)
        self.denoiser = as_denoiser(model)
        self.sigma = bound_value(settings.sigma)
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        if not low <= self.sigma <= high:
            raise SettingsError(
                f"fast: sigma {255 * self.sigma:.1f}/255 lies outside what {settings.model} was trained for, "
                f"{255 * low:.2f}/255 to {255 * high:.1f}/255"
            )
        self.strength_255 = 255 * self.sigma

    def purify(self, images: Tensor, *, noise: Noise, on_step: OnStep | None = None) -> Tensor:
        if self.settings.steps == 1:
            return one_shot(images, self.denoiser, sigma=self.sigma, noise=noise).clamp(0, 1)
        sigmas = karras_sigmas(self.sigma, self.denoiser.sigma_min, self.settings.steps)
        sampler = {"ddim": ddim, "heun": heun}[self.settings.sampler]
        return sampler(images, self.denoiser, sigmas=sigmas, noise=noise).clamp(0, 1)
