"""ECLIPSE's module A: noise to t*, denoise back by ancestral sampling."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.core.precision import Precision
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings
from unpoison.dynamics.samplers import ancestral, ancestral_sigma
from unpoison.nets.protocols import DiscreteModel
from unpoison.purifiers.networks import load_network


class EclipseSettings(Settings):
    """Settings of ECLIPSE's purification.

    Args:
        model: path of a diffusion model fitted on a sparse clean set.
        t: how far to noise, on the scale of the model's schedule; 100 of 4000 in the paper.
        steps: network calls, evenly spaced from t to 0; all t of them if left out.
        clip: clamp each estimate of the clean image to the pixel range.
        quantise: how the result becomes 8 bits; the reference floors, which darkens by half a level.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    model: str = ""
    t: int = Field(100, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=100_000)
    clip: bool = True
    quantise: Literal["round", "floor"] = "round"
    precision: Precision = "auto"


class EclipsePurifier:
    """Adds the noise of step t* and removes it again with a diffusion model.

    References:
        Wang et al.: ECLIPSE: Expunging Clean-label Indiscriminate Poisons via Sparse Diffusion Purification,
        ESORICS 2024, https://arxiv.org/abs/2406.15093
    """

    Settings = EclipseSettings
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

    def purify(self, images: Tensor, *, noise: Noise, on_step: OnStep | None = None) -> Tensor:
        settings = self.settings
        purified = ancestral(
            images, self.model, t=settings.t, steps=settings.steps, noise=noise, clip=settings.clip, on_step=on_step
        ).clamp(0, 1)
        # Whole levels pass through the project's rounding unchanged.
        return purified.mul(255).floor().div(255) if settings.quantise == "floor" else purified
