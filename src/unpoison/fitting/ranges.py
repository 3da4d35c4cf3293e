"""The ranges by which a denoiser that was just fitted can compute in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from unpoison.fitting.patches import Patches
from unpoison.nets.int8 import Range
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.ranges import measure_ranges

_SIGMAS = 12  # levels of white noise from the smallest to the largest
_TOGETHER = 32  # patches of one level, about: some thousand in all
_FIELDS = (0.0, 0.25, 1.0)  # of the largest smooth field


def measure_own_ranges(
    denoiser: PreconditionedDenoiser, draw: Callable[[int], Patches], device: torch.device
) -> dict[str, Range]:
    """Ranges on patches of the fit, some for each level of the noise that the denoiser is for.

    Args:
        denoiser: around a `PocketUNet`.
        draw: the batch of a step.
        device: of the denoiser.
    """
    sigmas = np.geomspace(denoiser.sigma_min, denoiser.sigma_max, _SIGMAS)
    fields = [share * denoiser.field_max for share in _FIELDS] if denoiser.field_max else [0.0]

    def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for step, (sigma, field) in enumerate(product(sigmas.tolist(), fields)):
            patches = draw(step)
            patches = patches.part(0, max(1, len(patches.sigma) // _TOGETHER)).to(device)
            even = torch.ones_like(patches.sigma)
            patches = replace(patches, sigma=sigma * even, field=field * even)
            yield patches.noisy(), patches.sigma, patches.field

    return measure_ranges(denoiser, batches())
