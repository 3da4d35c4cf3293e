"""The body of our small networks: residual blocks at half and quarter resolution, without attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HalfResolutionUNet(nn.Module):
    """A U-Net whose first layer already works at half resolution.

    Pixels are folded into channels (space-to-depth 2), so that a 32x32 picture is 16x16 to every convolution. Blocks
    at half resolution, blocks at quarter resolution with twice the channels, a skip, blocks at half resolution.
    Without attention and with a norm over the channels of each pixel, what a pixel becomes depends on its
    neighbourhood alone: a picture may have any size, and a tile with a border of `reach` pixels is as good as the
    whole. Subclasses make the embedding.

    Args:
        in_channels: of the picture, C.
        out_channels: of the result.
        channels: channels at half resolution.
        blocks: residual blocks at half resolution, at quarter resolution, and at half resolution again.
        embedding: length of the vector that conditions every block.
        dropout: share of activations dropped within each block, in training.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: int,
        blocks: Sequence[int],
        embedding: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        before, middle, after = blocks
        wide = 2 * channels
        self.enter = nn.Conv2d(4 * in_channels, channels, 3, padding=1)
        self.before = nn.ModuleList(ResidualBlock(channels, embedding, dropout) for _ in range(before))
        self.down = nn.Conv2d(channels, wide, 2, stride=2)
        self.middle = nn.ModuleList(ResidualBlock(wide, embedding, dropout) for _ in range(middle))
        self.up = nn.Conv2d(wide, 4 * channels, 1)
        self.after = nn.ModuleList(ResidualBlock(channels, embedding, dropout) for _ in range(after))
        self.leave = nn.Conv2d(channels, 4 * out_channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.get_parameter("bias"))

    @property
    def reach(self) -> int:
        """How many pixels away, at most, a pixel of the picture still matters to a pixel of the result."""
        half = 2 + 2 * (len(self.before) + len(self.after))  # 3x3 convolutions at half resolution, a step of 2 pixels
        quarter = 2 * len(self.middle)
        return 2 * half + 4 * quarter + 3  # and up to 3 within the 4x4 pixels that share a place at quarter resolution

    def transform(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Run the body.

        Args:
            x: [N, C, H, W] float32; any height and width.
            embedding: [N, E], or [1, E] for all.

        Returns:
            [N, out_channels, H, W].
        """
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % 4, 0, -height % 4), mode="replicate")
        half = self.enter(F.pixel_unshuffle(x, 2))
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


class ResidualBlock(nn.Module):
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
        """Map features [N, C, H, W] and the embedded noise [N, E] to features."""
        scale, shift = self.condition(embedding)[:, :, None, None].chunk(2, dim=1)
        inner = self.first(F.silu(torch.addcmul(self.bias, _normalise(x), self.gain)))
        inner = F.silu(torch.addcmul(shift, _normalise(inner), 1 + scale))
        change: Tensor = self.second(self.dropout(inner))
        return x + change


def _normalise(x: Tensor) -> Tensor:
    """Divide each pixel by the root mean square of its channels."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-5)
