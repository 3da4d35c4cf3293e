"""The batches of a run: which images, how moved, with which noise. Each is a function of seed and step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Args:
        clean: [N, C, H, W] float32 in [-1, 1].
        epsilon: [N, C, H, W] standard normal noise.
        index: [N] int64, noise level of each image.
    """

    clean: Tensor
    epsilon: Tensor
    index: Tensor

    def part(self, rank: int, parts: int) -> Batch:
        """The share of one of several devices."""
        rows = slice(rank * len(self.index) // parts, (rank + 1) * len(self.index) // parts)
        return Batch(self.clean[rows], self.epsilon[rows], self.index[rows])

    def to(self, device: torch.device) -> Batch:
        """The batch with its images on a device; the index stays, where the schedule is."""
        return Batch(self.clean.to(device), self.epsilon.to(device), self.index)


class Batches:
    """Draws batches from an image set.

    An epoch is `passes` passes over the set, shuffled as one; what does not fill a batch at its end is left out.
    Every draw comes from a generator named by its epoch or step, so a run can go on from any step without saved state.

    Args:
        image_set: images of one size.
        size: images a batch.
        passes: passes an epoch; more where a batch needs them.
        levels: noise levels are drawn evenly from 0 to `levels` - 1.
        flip: mirror half of the images.
        shift: move each image by up to so many pixels each way, its border reflected.
        seed: the run's seed.

    Raises:
        SettingsError: no images, images of several sizes, or a shift not smaller than the image.
    """

    def __init__(self, image_set: ImageSet, *, size: int, passes: int, levels: int, flip: bool, shift: int, seed: int):
        if len(image_set) == 0:
            raise SettingsError(f"{image_set.name} holds no images to fit to")
        self.images = torch.from_numpy(np.array(image_set.array()))
        self.size, self.levels, self.flip, self.shift, self.seed = size, levels, flip, shift, seed
        self.passes = max(passes, math.ceil(size / len(image_set)))
        self.per_epoch = len(image_set) * self.passes // size
        height, width = self.images.shape[1:3]
        if shift >= min(height, width):
            raise SettingsError(f"shift={shift} must be smaller than the images, {width}x{height}")
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def draw(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        random = generator(self.seed, f"fit/step/{step}")
        pixels = self._pick(self._rows(step), random)
        clean = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        index = torch.randint(self.levels, (self.size,), generator=random)
        return Batch(clean, torch.randn(clean.shape, generator=random), index)

    def _rows(self, step: int) -> Tensor:
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            count = len(self.images)
            order = torch.randperm(count * self.passes, generator=generator(self.seed, f"fit/epoch/{epoch}"))
            self._epoch, self._order = epoch, order % count
        return self._order[place * self.size : (place + 1) * self.size]

    def _pick(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Images of some rows, mirrored and moved: one gather of pixels."""
        if not self.flip and not self.shift:
            return self.images[rows]
        height, width = self.images.shape[1:3]
        down, right = torch.randint(-self.shift, self.shift + 1, (2, len(rows), 1), generator=random)
        mirrored = torch.randint(2, (len(rows), 1), generator=random).bool() & self.flip
        across = torch.arange(width)
        across = torch.where(mirrored, across.flip(0), across)
        y = _reflect(torch.arange(height) + down, height)
        x = _reflect(across + right, width)
        return self.images[rows[:, None, None], y[:, :, None], x[:, None, :]]


def _reflect(position: Tensor, length: int) -> Tensor:
    return length - 1 - (length - 1 - position.abs()).abs()
