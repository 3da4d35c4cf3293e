"""AVATAR: noise to time t, walk back through the reverse differential equation, as DiffPure does."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.core.noise import Noise
from unpoison.dynamics.reverse_sde import reverse_sde
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.denoiser import as_denoiser
from unpoison.nets.schedules import abar_to_sigma, vp_abar
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import AvatarSettings
from unpoison.purifiers.weights import load_network


class AvatarPurifier(Purifier):
    """DiffPure's operator, once for every picture of a training set: the published one, with any of our networks.

    The papers call a far larger network 100 times. It need not have seen the set at hand: AVATAR's also works with one
    of another set.

    References:
        Dolatabadi, Erfani, Leckie: The Devil's Advocate: Shattering the Illusion of Unexploitable Data using Diffusion
        Models, SaTML 2024, https://arxiv.org/abs/2303.08500
        Nie et al.: Diffusion Models for Adversarial Purification, ICML 2022, https://arxiv.org/abs/2205.07460
    """

    Settings = AvatarSettings
    halo = None  # a hundred calls see further than any tile

    def __init__(self, settings: AvatarSettings, *, device: torch.device):
        self.settings = settings
        model, self.weights = load_network(settings.model, method="avatar", precision=settings.precision, device=device)
        self.denoiser = as_denoiser(model)
        self.steps = settings.steps or max(1, round(1000 * settings.t))
        sigma = abar_to_sigma(vp_abar(settings.t))
        if not self.denoiser.sigma_min <= sigma <= self.denoiser.sigma_max:
            raise SettingsError(
                f"avatar: t={settings.t} is noise of {255 * sigma:.1f}/255, outside what the model was trained for, "
                f"{255 * self.denoiser.sigma_min:.2f}/255 to {255 * self.denoiser.sigma_max:.1f}/255; choose another t"
            )
        self.strength_255 = 255 * sigma

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        return reverse_sde(
            images,
            self.denoiser,
            t=self.settings.t,
            steps=self.steps,
            noise=noise,
            on_step=on_step,
            should_stop=should_stop,
        ).clamp(0, 1)
