"""PureGen-EBM: let an energy model draw every image towards what is natural."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.dynamics.langevin import langevin
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import PuregenEbmSettings
from unpoison.purifiers.weights import load_energy

STEP_SIZE = 1.25e-2  # epsilon of the paper, in units of the [-1, 1] range; its energy models are trained with it


class PuregenEbmPurifier(Purifier):
    """Langevin dynamics on the energy of an image: natural images have low energy, poisoned ones lie higher.

    The reference lets values that leave the range wrap around when it stores them; here they are clamped.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
    """

    Settings = PuregenEbmSettings
    strength_field = "steps"
    halo = None  # the energy is a mean over the whole picture

    def __init__(self, settings: PuregenEbmSettings, *, device: torch.device):
        self.settings = settings
        self.model, self.weights = load_energy(
            settings.model, method="puregen-ebm", precision=settings.precision, device=device
        )
        self.strength_255 = 255 / 2 * STEP_SIZE * math.sqrt(settings.steps)  # what the noise alone would add

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        return self.move(images, noise=noise, on_step=on_step, should_stop=should_stop).clamp(0, 1)

    def move(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        """Like `purify`, not clamped: what follows in PureGen-Naive takes the images as they are."""
        settings = self.settings
        moved = langevin(
            2 * images - 1,
            self.model,
            steps=settings.steps,
            step_size=STEP_SIZE,
            temperature=settings.temperature,
            noise=noise,
            on_step=on_step,
            should_stop=should_stop,
        )
        if not moved.isfinite().all():
            raise ModelError(
                f"the energy model {settings.model} drives images out of all bounds; "
                "lower steps, raise temperature, or use another model"
            )
        return (moved + 1) / 2
