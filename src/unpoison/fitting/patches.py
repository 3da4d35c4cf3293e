"""Batches for a denoiser: patches of pictures at several scales, with noise of two colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.settings import bound_value
from unpoison.dynamics.fields import CELLS, smooth_field
from unpoison.fitting.perturbations.families import Perturbations
from unpoison.fitting.settings import DenoiserSettings

_TOGETHER = 16  # patches that share their scale and their place on the grid of the field


@dataclass(frozen=True)
class Patches:
    """What one step sees.

    Args:
        clean: [N, 3, S, S] float32 in [0, 1].
        shown: [N, 3, S, S] float32 in [0, 1], the same patches, or pairs of them with equal noise, every second one
            perturbed.
        white: [N, 3, S, S] standard normal noise.
        smooth: [N, 3, S, S] smooth field of unit variance.
        sigma: [N] standard deviation of the white noise, in [0, 1] pixel units.
        field: [N] rms of the field; 0 for none.
    """

    clean: Tensor
    shown: Tensor
    white: Tensor
    smooth: Tensor
    sigma: Tensor
    field: Tensor

    def noisy(self) -> Tensor:
        """The patches as the network gets them, [N, 3, S, S]."""
        return self.shown + self.sigma.view(-1, 1, 1, 1) * self.white + self.field.view(-1, 1, 1, 1) * self.smooth

    def part(self, rank: int, parts: int) -> Patches:
        """The share of one of several devices."""
        rows = slice(rank * len(self.sigma) // parts, (rank + 1) * len(self.sigma) // parts)
        return Patches(*(values[rows] for values in self._all()))

    def to(self, device: torch.device) -> Patches:
        """The batch on a device."""
        return Patches(*(values.to(device) for values in self._all()))

    def _all(self) -> tuple[Tensor, ...]:
        return self.clean, self.shown, self.white, self.smooth, self.sigma, self.field


class PatchBatches:
    """Draws patches. Every batch is a function of seed and step alone.

    Args:
        image_set: colour images of any sizes.
        settings: of the fit.
        seed: the run's seed.

    Raises:
        SettingsError: no images.
    """

    def __init__(self, image_set: ImageSet, *, settings: DenoiserSettings, seed: int):
        if len(image_set) == 0:
            raise SettingsError(f"{image_set.name} holds no images to fit to")
        image_set.check_headers()
        self.shortest = torch.from_numpy(image_set.sizes.min(axis=1).astype(np.int64))
        self.images: Tensor | list[Tensor]  # one tensor where they have one size
        if len(np.unique(image_set.sizes, axis=0)) == 1:
            self.images = torch.from_numpy(np.array(image_set.array()))
        else:
            self.images = [torch.from_numpy(picture) for picture in image_set.load(range(len(image_set)))]
        self.settings, self.seed = settings, seed
        self.sigma = math.log(bound_value(settings.sigma_min)), math.log(bound_value(settings.sigma_max))
        self.field = math.log(bound_value(settings.field_min)), math.log(bound_value(settings.field_max))
        self.perturbations: Perturbations | None = None
        if settings.families:
            self.labels = torch.from_numpy(np.array(image_set.labels))
            self.perturbations = Perturbations(
                settings.families,
                bounds=(bound_value(settings.bound_min), bound_value(settings.bound_max)),
                victims=settings.victims,
                pictures=self._draw_pictures,
                seed=seed,
            )

    def draw(self, step: int) -> Patches:
        """The batch of a step, counted from 0."""
        random = generator(self.seed, f"fit/step/{step}")
        first, side = self.settings.patches[0], self.settings.patches[step % len(self.settings.patches)]
        count = max(1, self.settings.batch_size * first**2 // side**2)
        sizes = [min(_TOGETHER, count - start) for start in range(0, count, _TOGETHER)]
        clean = torch.cat([self._cut(size, side, random) for size in sizes])
        smooth = torch.cat([_draw_field(size, side, random) for size in sizes])
        sigma = _log_uniform(count, self.sigma, random)
        has_field = torch.rand(count, generator=random) < self.settings.field_share
        field = _log_uniform(count, self.field, random) * has_field
        noise = torch.randn(clean.shape, generator=random)
        if self.perturbations is None:
            return Patches(clean, clean, noise, smooth, sigma, field)
        clean, noise, smooth, sigma, field = (_twice(values) for values in (clean, noise, smooth, sigma, field))
        shown = clean.clone()
        shown[1::2] = self.perturbations.draw(clean[1::2], random)
        return Patches(clean, shown, noise, smooth, sigma, field)

    def _cut(self, count: int, side: int, random: torch.Generator) -> Tensor:
        """Squares of one random size from random pictures and places, resized to `side`, perhaps mirrored.

        From a picture that is smaller than that size, a square of its shorter side.
        """
        most = int(self.shortest.max())
        least = min(most, max(1, round(self.settings.zoom * side)))
        size = min(most, round(float(_log_uniform(1, (math.log(least), math.log(most)), random))))
        return self._cut_from(torch.randint(len(self.images), (count,), generator=random), size, side, random)

    def _draw_pictures(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random pictures, as large squares of them as there are, [count, 3, S, S], and their classes [count]."""
        rows = torch.randint(len(self.images), (count,), generator=random)
        side = self.settings.patches[0]
        return self._cut_from(rows, int(self.shortest.max()), side, random), self.labels[rows]

    def _cut_from(self, rows: Tensor, size: int, side: int, random: torch.Generator) -> Tensor:
        """Squares from random places of some pictures, resized to `side`, perhaps mirrored."""
        if isinstance(self.images, Tensor):
            return _resize(self._gather(self.images, rows, size, random), side)
        squares = [
            self._gather(self.images[row][None], torch.zeros(1, dtype=torch.int64), own, random)
            for row, own in zip(rows.tolist(), self.shortest[rows].clamp(max=size).tolist(), strict=True)
        ]
        return torch.cat([_resize(square, side) for square in squares])

    def _gather(self, images: Tensor, rows: Tensor, size: int, random: torch.Generator) -> Tensor:
        """Squares from random places of some of the images, perhaps mirrored: [N, size, size, 3]."""
        height, width = images.shape[1:3]
        count = len(rows)
        y = torch.randint(height - size + 1, (count, 1), generator=random) + torch.arange(size)
        x = torch.randint(width - size + 1, (count, 1), generator=random) + torch.arange(size)
        if self.settings.flip:
            x = torch.where(torch.randint(2, (count, 1), generator=random).bool(), x, x.flip(1))
        return images[rows[:, None, None], y[:, :, None], x[:, None, :]]


def _resize(squares: Tensor, side: int) -> Tensor:
    """[N, S, S, 3] uint8 to [N, 3, side, side] in [0, 1]."""
    pixels = squares.permute(0, 3, 1, 2).float() / 255
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=True).clamp(0, 1)


def _twice(values: Tensor) -> Tensor:
    """Every other row, twice; of one row alone, that row."""
    return values[::2].repeat_interleave(2, dim=0)[: len(values)]


def _draw_field(count: int, side: int, random: torch.Generator) -> Tensor:
    top, left = (4 * torch.randint(max(CELLS) // 4, (2,), generator=random)).tolist()
    sizes = [[(start % cell + side - 1) // cell + 2 for start in (top, left)] for cell in CELLS]
    nodes = [torch.randn(count, 6, *size, generator=random) for size in sizes]
    return smooth_field(nodes, height=side, width=side, top=top, left=left)


def _log_uniform(count: int, logs: tuple[float, float], random: torch.Generator) -> Tensor:
    low, high = logs
    return torch.exp(low + (high - low) * torch.rand(count, generator=random))
