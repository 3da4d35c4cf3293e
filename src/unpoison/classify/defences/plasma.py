"""Plasma: random fields that are smooth at large and rough in detail, for brightness and contrast."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def plasma(like: Tensor, roughness: Tensor, *, generator: torch.Generator) -> Tensor:
    """Fields between 0 and 1, one for each channel.

    By halving the mesh again and again: a mesh of four random corners is filled in linearly, and at each finer mesh
    every node moves towards a random value of its own, by `roughness` to the power of the level.

    Args:
        like: [N, C, H, W]; gives shape and device.
        roughness: [N], between 0 and 1; the larger, the more detail.
        generator: source of all values, on that device.

    Returns:
        [N, C, H, W] float32.

    References:
        Fournier, Fussell, Carpenter, Computer rendering of stochastic models, CACM 1982
    """
    count, channels, height, width = like.shape
    depth = max(1, math.ceil(math.log2(max(height, width, 3) - 1)))
    share = roughness[:, None, None, None]
    field = torch.rand(count, channels, 2, 2, generator=generator, device=like.device)
    field = F.interpolate(field, size=(3, 3), mode="bilinear", align_corners=True)
    for level in range(1, depth):
        side = 2 ** (level + 1) + 1
        finer = F.interpolate(field, size=(side, side), mode="bilinear", align_corners=True)
        drawn = torch.rand(finer.shape, generator=generator, device=like.device)
        field = torch.lerp(finer, drawn, share**level)
    return field[:, :, :height, :width]
