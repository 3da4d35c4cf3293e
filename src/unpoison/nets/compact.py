"""A small U-Net that predicts noise, as the networks of the papers do, in a thirtieth of their work and less."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.nets.half_resolution import HalfResolutionUNet

_TIME_UNITS = 4.0  # one index of a 4000-step schedule (0.25 of the time input) turns the fastest wave by one radian


class CompactUNet(HalfResolutionUNet):
    """Epsilon and, if wanted, interpolation v of an image.

    The defaults have 1.1 million parameters; `channels=32` has a quarter of that.

    Args:
        in_channels: colours of the picture, C.
        channels: channels at half resolution.
        blocks: residual blocks at half resolution, at quarter resolution, and at half resolution again.
        dropout: share of activations dropped within each block, in training.
        learned_variance: also give v.

    References:
        Improved DDPM (Nichol and Dhariwal, 2021, https://arxiv.org/abs/2102.09672): time embedding, scale and shift,
        epsilon | v. Space-to-depth, the norm and the sizes are ours.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        channels: int = 64,
        blocks: Sequence[int] = (1, 2, 1),
        dropout: float = 0.0,
        learned_variance: bool = True,
    ):
        embedding = 4 * channels
        super().__init__(
            in_channels=in_channels,
            out_channels=in_channels * (2 if learned_variance else 1),
            channels=channels,
            blocks=blocks,
            embedding=embedding,
            dropout=dropout,
        )
        self.channels, self.learned_variance = channels, learned_variance
        self.time_embed = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """Estimate the noise.

        Args:
            z: [N, C, H, W] float32, noisy image in the scaling of [-1, 1] data; any height and width.
            time: [N] time input, 0 to 1000, fractions included.

        Returns:
            [N, 2C, H, W]: epsilon, then v; or epsilon alone, [N, C, H, W].
        """
        return self.transform(z, F.silu(self.time_embed(embed_time(time, self.channels))))


def embed_time(time: Tensor, size: int) -> Tensor:
    """Cosines and sines of the time at geometric frequencies, fast enough to tell neighbouring indices apart.

    Args:
        time: [N] time input, 0 to 1000.
        size: length of the embedding, even.

    Returns:
        [N, size] float32: [cos | sin].
    """
    powers = torch.arange(size // 2, dtype=torch.float32, device=time.device) / (size // 2)
    angles = _TIME_UNITS * time.float()[:, None] * torch.exp(-math.log(1e4) * powers)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
