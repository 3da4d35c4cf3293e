"""`pocket`: a small network that gives the clean image in one call, and knows the colour of the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.nets.half_resolution import HalfResolutionUNet

_WAVES = 16  # per noise level


class PocketUNet(HalfResolutionUNet):
    """Conditioned on two noise levels: that of white noise and that of a smooth field.

    Args:
        channels: channels at half resolution.
        blocks: residual blocks at half resolution, at quarter resolution, and at half resolution again.
    """

    def __init__(self, *, channels: int = 64, blocks: Sequence[int] = (1, 2, 1)):
        embedding = 2 * channels
        super().__init__(in_channels=3, out_channels=3, channels=channels, blocks=blocks, embedding=embedding)
        self.noise_embed = nn.Sequential(nn.Linear(4 * _WAVES, embedding), nn.SiLU(), nn.Linear(embedding, embedding))

    def forward(self, x: Tensor, sigma: Tensor, field: Tensor) -> Tensor:
        """Run the network.

        Args:
            x: [N, 3, H, W] float32, scaled to about unit variance; any height and width.
            sigma: [N] standard deviation of the white noise, in [0, 1] pixel units.
            field: [N] rms of the smooth field, in [0, 1] pixel units.

        Returns:
            [N, 3, H, W].
        """
        levels = torch.cat([embed_level(sigma.float()), embed_level(field.float())], dim=1)
        return self.transform(x, F.silu(self.noise_embed(levels)))


def embed_level(level: Tensor) -> Tensor:
    """[N] noise in [0, 1] units to [N, 2 waves]: waves over log(1 + level * 255), which is 0 without noise."""
    powers = torch.linspace(-1, 3, _WAVES, device=level.device, dtype=level.dtype)
    angles = torch.log1p(255 * level)[:, None] * torch.exp(math.log(2) * powers)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
