"""PureGen-Naive: the Langevin steps of an energy model, then the round trip of a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.puregen.ddpm import PuregenDdpmPurifier
from unpoison.purifiers.puregen.ebm import PuregenEbmPurifier
from unpoison.purifiers.settings import PuregenDdpmSettings, PuregenEbmSettings, PuregenNaiveSettings


class PuregenNaivePurifier(Purifier):
    """`puregen-ebm`, and `puregen-ddpm` on its result, which is not clamped in between.

    A model that has nothing to do, because its count is 0, is not loaded.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, appendix with table 10, https://arxiv.org/abs/2405.18627
    """

    Settings = PuregenNaiveSettings
    halo = None

    def __init__(self, settings: PuregenNaiveSettings, *, device: torch.device):
        self.settings = settings
        self.ebm = PuregenEbmPurifier(_ebm_settings(settings), device=device) if settings.langevin_steps else None
        self.ddpm = PuregenDdpmPurifier(_ddpm_settings(settings), device=device) if settings.t else None
        parts = [part for part in (self.ebm, self.ddpm) if part is not None]
        self.weights = merge_weights(*(part.weights for part in parts))
        self.strength_255 = max(strength for part in parts if (strength := part.strength_255) is not None)

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        if self.ebm is not None:
            images = self.ebm.move(images, noise=noise.child("ebm"), on_step=on_step, should_stop=should_stop)
        if self.ddpm is not None:
            images = self.ddpm.purify(images, noise=noise.child("ddpm"), on_step=on_step, should_stop=should_stop)
        return images.clamp(0, 1)


def merge_weights(*parts: Mapping[str, str]) -> dict[str, str]:
    """The weight files of several models, which must differ in name: manifests name files without their folder.

    Raises:
        ModelError: two different files have one name.
    """
    merged: dict[str, str] = {}
    for name, digest in (item for part in parts for item in part.items()):
        if merged.setdefault(name, digest) != digest:
            raise ModelError(f"two different weight files are named {name}; rename one, for the sake of the manifest")
    return merged


def _ebm_settings(settings: PuregenNaiveSettings) -> PuregenEbmSettings:
    return PuregenEbmSettings(
        model=settings.energy,
        steps=settings.langevin_steps,
        temperature=settings.temperature,
        precision=settings.precision,
    )


def _ddpm_settings(settings: PuregenNaiveSettings) -> PuregenDdpmSettings:
    return PuregenDdpmSettings(model=settings.model, t=settings.t, steps=settings.steps, precision=settings.precision)
