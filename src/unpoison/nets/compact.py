"""A small denoising U-Net that works at half resolution from its first layer on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TIME_UNITS = 4.0  # one index of a 4000-step schedule (0.25 of the time input) turns the fastest wave by one radian


class CompactUNet(nn.Module):
    """Epsilon and interpolation v of an image, in a thirtieth of the work of the papers' networks and less.

    Pixels are folded into channels (space-to-depth 2), so that a 32x32 picture is 16x16 to every convolution. Blocks
    at half resolution, blocks at quarter resolution with twice the channels, a skip, blocks at half resolution.
    Without attention and with a norm over the channels of each pixel, what a pixel becomes depends on its
    neighbourhood alone: a picture may have any size. The defaults have 1.1 million parameters;
    `channels=32` has a quarter of that.

    Args:
        in_channels: colours of the picture, C.
        channels: channels at half resolution.
        blocks: residual blocks at half resolution, at quarter resolution, and at half resolution again.
        dropout: share of activations dropped within each block, in training.

    References:
        Improved DDPM (Nichol and Dhariwal, 2021, https://arxiv.org/abs/2102.09672): time embedding, scale and shift,
        epsilon | v. Space-to-depth, the norm and the sizes are ours.
    """

    def __init__(
        self, *, in_channels: int = 3, channels: int = 64, blocks: Sequence[int] = (1, 2, 1), dropout: float = 0.0
    ):
        super().__init__()
        before, middle, after = blocks
        embedding, wide = 4 * channels, 2 * channels
        self.channels = channels
        self.time_embed = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.enter = nn.Conv2d(4 * in_channels, channels, 3, padding=1)
        self.before = nn.ModuleList(_Block(channels, embedding, dropout) for _ in range(before))
        self.down = nn.Conv2d(channels, wide, 2, stride=2)
        self.middle = nn.ModuleList(_Block(wide, embedding, dropout) for _ in range(middle))
        self.up = nn.Conv2d(wide, 4 * channels, 1)
        self.after = nn.ModuleList(_Block(channels, embedding, dropout) for _ in range(after))
        self.leave = nn.Conv2d(channels, 8 * in_channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.get_parameter("bias"))

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """Estimate the noise.

        Args:
            z: [N, C, H, W] float32, noisy image in the scaling of [-1, 1] data; any height and width.
            time: [N] time input, 0 to 1000, fractions included.

        Returns:
            [N, 2C, H, W]: epsilon, then v.
        """
        height, width = z.shape[-2:]
        z = F.pad(z, (0, -width % 4, 0, -height % 4), mode="replicate")
        embedding = F.silu(self.time_embed(embed_time(time, self.channels)))
        half = self.enter(F.pixel_unshuffle(z, 2))
        for block in self.before:
            half = block(half, embedding)
        quarter = self.down(half)
        for block in self.middle:
            quarter = block(quarter, embedding)
        half = half + F.pixel_shuffle(self.up(quarter), 2)
        for block in self.after:
            half = block(half, embedding)
        out = F.pixel_shuffle(self.leave(F.silu(_normalise(half))), 2)
        return out[..., :height, :width]


class _Block(nn.Module):
    """norm, SiLU, conv, norm scaled and shifted by the time, SiLU, conv; added to what came in."""

    def __init__(self, channels: int, embedding: int, dropout: float):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.condition = nn.Linear(embedding, 2 * channels)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.get_parameter("bias"))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.condition(embedding)[:, :, None, None].chunk(2, dim=1)
        inner = self.first(F.silu(torch.addcmul(self.bias, _normalise(x), self.gain)))
        inner = F.silu(torch.addcmul(shift, _normalise(inner), 1 + scale))
        return x + self.second(self.dropout(inner))


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


def _normalise(x: Tensor) -> Tensor:
    """Divide each pixel by the root mean square of its channels."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-5)
