"""OPS: one-pixel shortcut."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from pydantic import Field

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels

# The corners of the colour cube, which a pixel is painted with: black, blue, green, ..., white.
COLORS = np.array(list(product((0, 1), repeat=3)))


class OpsSettings(Settings):
    """Settings of OPS.

    Args:
        pixels: how many pixels of every picture are painted.
    """

    pixels: int = Field(default=1, ge=1)


class OpsPoison(Attack):
    """Every class has one pixel painted in one colour: the pair that differs from its pictures most and most evenly.

    No two classes share a pair; of the pixels of one class no two coincide, which the original does not rule out.
    Nothing is drawn: every seed gives the same pictures.

    References:
        Wu, Chen, Xie, Huang: One-Pixel Shortcut: on the Learning Preference of Deep Neural Networks, ICLR 2023,
        https://arxiv.org/abs/2205.12141
    """

    Settings = OpsSettings

    def craft(
        self, image_set: ImageSet, settings: OpsSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "ops")
        images = image_set.array()
        positions, classes = images.shape[1] * images.shape[2], len(image_set.class_names)
        if settings.pixels > positions or settings.pixels * classes > positions * len(COLORS):
            raise SettingsError(f"ops: {positions} pixels a picture are too few for {settings.pixels} in every class")
        poisoned = images.copy()
        free = np.ones((positions, len(COLORS)), bool)
        painted = {}
        for label in np.unique(image_set.labels).tolist():
            members = np.flatnonzero(image_set.labels == label)
            scores = np.where(free, ops_scores(images[members]), -1)
            pixels = np.argsort(-scores.max(axis=1), kind="stable")[: settings.pixels]
            colors = scores[pixels].argmax(axis=1)
            free[pixels, colors] = False
            rows, columns = np.divmod(pixels, images.shape[2])
            poisoned[members[:, None], rows, columns] = 255 * COLORS[colors]
            painted[image_set.class_names[label]] = [
                {"row": int(row), "column": int(column), "color": (255 * COLORS[color]).tolist()}
                for row, column, color in zip(rows, columns, colors, strict=True)
            ]
        return PoisonedSet(poisoned, image_set.ids, "availability", facts={"painted": painted})


def ops_scores(images: np.ndarray) -> np.ndarray:
    """How far, and how evenly, a painted pixel would lie from the pictures of a class.

    The score of pixel and colour v is mean |v - x| / std |v - x| over all pictures and channels. As v is 0 or 1,
    |v - x| is x or 1 - x, and both moments follow from the sums of x and x^2.

    Args:
        images: [n, H, W, 3] uint8, at least one.

    Returns:
        [H * W, 8] float64, a column for each of `COLORS`. Where nothing varies the score is the mean times 1e6.
    """
    dark = _moments(images)
    total = len(images) * 255
    light = np.stack([total - dark[0], 255 * total - 510 * dark[0] + dark[1]])
    chosen = np.where(COLORS[:, None, :, None] == 1, light, dark)  # [8, 2, 3, H * W]
    mean, square = chosen.sum(axis=2).transpose(1, 2, 0) / (3 * len(images))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    clearness: np.ndarray = mean / np.maximum(deviation, 1e-6 * 255)
    return clearness


def _moments(images: np.ndarray) -> np.ndarray:
    """Sums of x and of x^2 over pictures, [2, 3, H * W] float64, x in levels from 0 to 255."""
    sums = np.zeros((2, *images.shape[1:]))
    for start in range(0, len(images), 256):
        part = images[start : start + 256].astype(np.uint32)
        sums += part.sum(axis=0), (part * part).sum(axis=0)
    return sums.reshape(2, -1, 3).transpose(0, 2, 1)
