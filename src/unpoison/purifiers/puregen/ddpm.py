"""PureGen-DDPM: noise an image part of the way, and restore it with a diffusion model trained for just that."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.dynamics.forward_reverse import forward_reverse, forward_sigma
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.protocols import DiscreteModel
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import PuregenDdpmSettings
from unpoison.purifiers.weights import load_network


class PuregenDdpmPurifier(Purifier):
    """Adds the noise of index t, and walks back from index t - 1.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
    """

    Settings = PuregenDdpmSettings
    strength_field = "t"
    halo = None  # the paper's networks see the whole picture

    def __init__(self, settings: PuregenDdpmSettings, *, device: torch.device):
        self.settings = settings
        model, self.weights = load_network(
            settings.model, method="puregen-ddpm", precision=settings.precision, device=device
        )
        if not isinstance(model, DiscreteModel):
            raise ModelError(
                f"puregen-ddpm walks the steps of a schedule, which {settings.model} has not; use method fast"
            )
        self.model = model
        added = 255 * forward_sigma(model, t=settings.t)
        self.strength_255 = None if settings.reverse_only else added

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        settings = self.settings
        return forward_reverse(
            images,
            self.model,
            t=settings.t,
            steps=settings.steps,
            reverse_only=settings.reverse_only,
            noise=noise,
            on_step=on_step,
            should_stop=should_stop,
        ).clamp(0, 1)
