"""PureGen-DDPM: noise an image part of the way, and restore it with a diffusion model trained for just that."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.core.precision import Precision
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings
from unpoison.dynamics.forward_reverse import forward_reverse, forward_sigma
from unpoison.nets.protocols import DiscreteModel
from unpoison.purifiers.networks import load_network


class PuregenDdpmSettings(Settings):
    """Settings of PureGen's purification by a diffusion model.

    Args:
        model: `ddpm250-small`, which comes with unpoison, or path of a diffusion model; both it and the paper's know
            the first 250 of 1,000 steps.
        t: index to noise to, on the scale of the model's schedule; T_DDPM of the paper.
        steps: network calls, evenly spaced from t to 0; all t of them if left out.
        reverse_only: restore the image as it is, without noising it first.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    model: str = "ddpm250-small"
    t: int = Field(75, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=100_000)
    reverse_only: bool = False
    precision: Precision = "auto"


class PuregenDdpmPurifier:
    """Adds the noise of index t, and walks back from index t - 1.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
    """

    Settings = PuregenDdpmSettings
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

    def purify(self, images: Tensor, *, noise: Noise, on_step: OnStep | None = None) -> Tensor:
        settings = self.settings
        return forward_reverse(
            images,
            self.model,
            t=settings.t,
            steps=settings.steps,
            reverse_only=settings.reverse_only,
            noise=noise,
            on_step=on_step,
        ).clamp(0, 1)
