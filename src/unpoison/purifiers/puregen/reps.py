"""PureGen-Reps: few Langevin steps and a short round trip, again and again."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.puregen.naive import PuregenNaivePurifier
from unpoison.purifiers.settings import PuregenRepsSettings


class PuregenRepsPurifier(Purifier):
    """`puregen-naive` several times over, each with noise of its own.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, appendix with table 10, https://arxiv.org/abs/2405.18627
    """

    Settings = PuregenRepsSettings
    halo = None

    def __init__(self, settings: PuregenRepsSettings, *, device: torch.device):
        self.settings = settings
        self.once = PuregenNaivePurifier(settings, device=device)
        self.weights, self.strength_255 = self.once.weights, self.once.strength_255

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        for number in range(1, self.settings.reps + 1):
            images = self.once.purify(
                images, noise=noise.child(f"rep{number}"), on_step=on_step, should_stop=should_stop
            )
        return images
