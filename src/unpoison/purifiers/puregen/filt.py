"""PureGen-Filt: purify the images of highest energy, and leave the others as they are."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.progress import OnStep
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.protocol import NeedsWholeSet
from unpoison.purifiers.puregen.naive import PuregenNaivePurifier, merge_weights
from unpoison.purifiers.settings import PuregenFiltSettings
from unpoison.purifiers.weights import load_energy


class PuregenFiltPurifier(NeedsWholeSet):
    """`puregen-naive` for the share of a set with the highest energies, ranked as the set came.

    The reference ranks poisons by their energy after purification; by the paper, and here, it is that before. In a
    chain, too, the ranks are those of the set as it came.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, appendix with table 10, https://arxiv.org/abs/2405.18627
    """

    Settings = PuregenFiltSettings
    halo = None
    prepared: list[str] | None = None  # ids of the images to purify
    _chosen: frozenset[str] = frozenset()

    def __init__(self, settings: PuregenFiltSettings, *, device: torch.device):
        self.settings, self.device = settings, device
        # fp32: energies differ by little from image to image.
        self.energy, digests = load_energy(settings.energy, method="puregen-filt", precision="fp32", device=device)
        self.inner = PuregenNaivePurifier(settings, device=device)
        self.weights = merge_weights(digests, self.inner.weights)
        self.strength_255 = self.inner.strength_255

    def prepare(
        self, image_set: ImageSet, *, generator: torch.Generator, on_step: OnStep | None = None
    ) -> PuregenFiltPurifier:
        """Rank a set.

        Args:
            image_set: the set as it came.
            generator: not used; there is nothing random in energies.
            on_step: called after each block of pictures.

        Returns:
            The purifier of this set.
        """
        energies = measure_energies(image_set, self.energy, device=self.device, on_step=on_step)
        highest = np.argsort(-energies, kind="stable")[: round(self.settings.fraction * len(image_set))]
        return self.restore([image_set.ids[row] for row in sorted(highest.tolist())])

    def restore(self, prepared: Any) -> PuregenFiltPurifier:
        """The purifier of the set whose ranking was `prepared`."""
        purifier = copy.copy(self)
        purifier.prepared, purifier._chosen = list(prepared), frozenset(prepared)
        return purifier

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        self.found()  # says so if there is nothing
        rows = [row for row, image_id in enumerate(noise.ids) if image_id in self._chosen]
        purified = images.clone()
        if rows:  # which images share a call follows from set and microbatch alone, so the bytes do too
            chosen = replace(noise, ids=[noise.ids[row] for row in rows])
            purified[rows] = self.inner.purify(images[rows], noise=chosen, on_step=on_step, should_stop=should_stop)
        return purified
