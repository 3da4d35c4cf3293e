"""Purification in one to four network calls."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.core.noise import Noise
from unpoison.core.settings import bound_value
from unpoison.dynamics.fields import ColouredNoise
from unpoison.dynamics.samplers import ddim, heun, karras_sigmas
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.denoiser import as_denoiser
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.protocols import Denoiser
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import FastSettings
from unpoison.purifiers.weights import load_network


class FastPurifier(Purifier):
    """Adds noise and removes it along few, widely spaced noise levels.

    Args:
        settings: see `FastSettings`.
        device: where to compute.
        denoiser: use this one in place of the model that the settings name.

    References:
        Carlini et al.: (Certified!!) Adversarial Robustness for Free!, ICLR 2023, https://arxiv.org/abs/2206.10550
        Karras et al.: Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022,
        https://arxiv.org/abs/2206.00364
        The smooth field is ours.
    """

    Settings = FastSettings
    takes_denoiser = True

    def __init__(self, settings: FastSettings, *, device: torch.device, denoiser: Denoiser | None = None):
        self.settings = settings
        self.weights: dict[str, str] = {}
        if denoiser is None:
            model, self.weights = load_network(
                settings.model, method="fast", precision=settings.precision, device=device
            )
            denoiser = as_denoiser(model)
        self.sigma, field = bound_value(settings.sigma), bound_value(settings.field)
        low, high = denoiser.sigma_min, denoiser.sigma_max
        if not low <= self.sigma <= high:
            raise SettingsError(
                f"fast: sigma {255 * self.sigma:.1f}/255 lies outside what the model was trained for, "
                f"{255 * low:.2f}/255 to {255 * high:.1f}/255"
            )
        self.ratio = field / self.sigma
        self.halo = _reach(denoiser, settings)
        if isinstance(denoiser, PreconditionedDenoiser) and denoiser.field_max:
            if field > denoiser.field_max:
                raise SettingsError(
                    f"fast: field {255 * field:.1f}/255 is more than the model was trained for, "
                    f"{255 * denoiser.field_max:.1f}/255"
                )
            denoiser = denoiser.with_field(self.ratio)
        self.denoiser = denoiser
        self.strength_255 = 255 * self.sigma

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        sigmas = karras_sigmas(self.sigma, self.denoiser.sigma_min, self.settings.steps)
        sampler = {"ddim": ddim, "heun": heun}[self.settings.sampler]
        coloured = ColouredNoise(noise, self.ratio)
        return sampler(
            images, self.denoiser, sigmas=sigmas, noise=coloured, on_step=on_step, should_stop=should_stop
        ).clamp(0, 1)


def _reach(denoiser: Denoiser, settings: FastSettings) -> int | None:
    """Pixels around a pixel that its result depends on: every call adds the network's own."""
    reach = getattr(denoiser, "reach", None)
    calls = 2 * settings.steps - 1 if settings.sampler == "heun" else settings.steps
    return None if reach is None else reach * calls
