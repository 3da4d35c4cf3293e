"""ECLIPSE's corruption compensation: random grey and noise, behind any purifier or none."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.classify.defences.protocol import Defence
from unpoison.core.pixels import luma


class Compensation(Defence):
    """Every epoch shows other pictures in grey, and other noise; free of cost.

    It is part of what any training may show, so its settings are the training's own, `grayscale_probability` and
    `noise_sigma`, with the paper's values in a profile.
    """

    profile = "compensation"


def compensate(
    images: Tensor, *, grayscale_probability: float, noise_sigma: float, generator: torch.Generator
) -> Tensor:
    """ECLIPSE's corruption compensation: turn some images grey, add noise to all, and store them in 8 bits again.

    Modules B and C of the paper. The same in law as the paper's code, which does it image by image through PIL.

    Args:
        images: [N, 3, H, W] float32 in [0, 1], whole 8-bit levels; not changed.
        grayscale_probability: chance of an image to lose its colour (p of the paper).
        noise_sigma: deviation of the noise, drawn for each channel, so that grey images get coloured noise.
        generator: source of both, on the device of `images`.

    Returns:
        [N, 3, H, W] float32 in [0, 1], whole 8-bit levels.

    References:
        Wang et al., ECLIPSE: expunging clean-label indiscriminate poisons via sparse diffusion purification,
        ESORICS 2024, https://arxiv.org/abs/2406.15093
    """
    grey = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < grayscale_probability
    coloured = torch.where(grey, luma(images), images)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    # The paper's code stores by cutting off, not by rounding, so the mean darkens by half a level.
    return (coloured + noise_sigma * noise).clamp(0, 1).mul(255).floor().div(255)
