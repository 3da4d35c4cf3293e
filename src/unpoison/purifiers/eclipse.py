"""ECLIPSE's module A: noise to t*, denoise back by ancestral sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.dynamics.samplers import ancestral, ancestral_sigma
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.protocols import DiscreteModel
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import EclipseSettings
from unpoison.purifiers.weights import load_network


class EclipsePurifier(Purifier):
    """Adds the noise of step t* and removes it again with a diffusion model.

    References:
        Wang et al.: ECLIPSE: Expunging Clean-label Indiscriminate Poisons via Sparse Diffusion Purification,
        ESORICS 2024, https://arxiv.org/abs/2406.15093
    """

    Settings = EclipseSettings
    strength_field = "t"
    halo = None  # the papers' networks have attention over the whole picture

    def __init__(self, settings: EclipseSettings, *, device: torch.device):
        self.settings = settings
        model, self.weights = load_network(
            settings.model, method="eclipse", precision=settings.precision, device=device
        )
        if not isinstance(model, DiscreteModel):
            raise ModelError(f"eclipse walks the steps of a schedule, which {settings.model} has not; use method fast")
        self.model = model
        self.strength_255 = 255 * ancestral_sigma(self.model, t=settings.t)

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        settings = self.settings
        purified = ancestral(
            images,
            self.model,
            t=settings.t,
            steps=settings.steps,
            noise=noise,
            clip=settings.clip,
            on_step=on_step,
            should_stop=should_stop,
        ).clamp(0, 1)
        # Whole levels pass through the project's rounding unchanged.
        return purified.mul(255).floor().div(255) if settings.quantise == "floor" else purified
