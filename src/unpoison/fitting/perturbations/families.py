"""The families by name, and the draw of a family for every few pictures of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from unpoison.core.noise import generator
from unpoison.fitting.perturbations.changes import kernels, pixels, tints
from unpoison.fitting.perturbations.gradients import Gradients
from unpoison.fitting.perturbations.patterns import blocks, checks, fields, gratings, grids, unit
from unpoison.fitting.perturbations.textures import textures
from unpoison.fitting.perturbations.victims import Pictures, train_victims

# From pictures [N, 3, S, S] and bounds [N, 1, 1, 1] to perturbed pictures, which may leave [0, 1].
Family = Callable[[Tensor, Tensor, torch.Generator], Tensor]
Pattern = Callable[[int, int, torch.Generator], Tensor]

_TOGETHER = 8  # pictures that share a draw of a family


def _add(pattern: Pattern, clean: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
    return clean + amplitude * unit(pattern(len(clean), clean.shape[-1], random))


PATTERNS: dict[str, Pattern] = {
    "grids": grids,
    "checks": checks,
    "gratings": gratings,
    "fields": fields,
    "blocks": blocks,
    "textures": textures,
}
CHANGES: dict[str, Family] = {"pixels": pixels, "kernels": kernels, "tints": tints}


class Perturbations:
    """Draws perturbed pictures.

    Args:
        families: names of families; one that stands there twice is drawn twice as often.
        bounds: least and largest bound of a perturbation, in [0, 1] pixel units; drawn evenly in the logarithm.
        victims: how many small networks are trained for `gradients`.
        pictures: what those are trained on.
        seed: of their training.
    """

    def __init__(
        self,
        families: Sequence[str],
        *,
        bounds: tuple[float, float],
        victims: int,
        pictures: Pictures,
        seed: int,
    ):
        known: dict[str, Family] = {**CHANGES, **{name: partial(_add, pattern) for name, pattern in PATTERNS.items()}}
        if "gradients" in families:
            known["gradients"] = Gradients(train_victims(victims, pictures, generator(seed, "fit/victims")))
        self.families = [known[name] for name in families]
        self.bounds = bounds

    def draw(self, clean: Tensor, random: torch.Generator) -> Tensor:
        """Pictures [N, 3, S, S] in [0, 1], perturbed; they stay in [0, 1]."""
        low, high = self.bounds
        shown = []
        for part in clean.split(_TOGETHER):
            amplitude = low * (high / low) ** torch.rand(len(part), 1, 1, 1, generator=random)
            family = self.families[int(torch.randint(len(self.families), (), generator=random))]
            shown.append(family(part, amplitude, random).clamp(0, 1))
        return torch.cat(shown)
