"""A vision transformer for small pictures, in patches of 4x4 pixels.

Parameters bear the names of the widespread ViT for CIFAR-10 that accompanies the pytorch-cifar nets. Its dropout of 0.1
is left out: it would draw from the global generator.

References:
    Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at scale, ICLR 2021,
    https://arxiv.org/abs/2010.11929
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.core.errors import SettingsError

_PATCH = 4
_GRID = 8  # patches along a side of a 32-pixel picture
_HEADS = 8
_LAYERS = 6


def vit(classes: int, width: int = 64) -> nn.Module:
    """ViT with 6 layers and 8 heads: 9,523,722 parameters at 10 classes and width 64, the channels of a head."""
    return ViT(classes, width)


class ViT(nn.Module):
    """Patches become tokens, attend to each other in six layers, and a token of its own answers for the picture.

    Args:
        classes: number of classes.
        width: channels of one attention head; tokens have eight times as many.
    """

    def __init__(self, classes: int, width: int):
        super().__init__()
        channels = _HEADS * width
        self.pos_embedding = nn.Parameter(torch.randn(1, _GRID**2 + 1, channels))
        self.cls_token = nn.Parameter(torch.randn(1, 1, channels))
        self.to_patch_embedding = nn.Sequential(Patches(), nn.Linear(3 * _PATCH**2, channels))
        self.transformer = Transformer(channels)
        self.mlp_head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes].

        Raises:
            SettingsError: a side is no multiple of 4 pixels.
        """
        height, width = x.shape[2:]
        if height % _PATCH or width % _PATCH:
            raise SettingsError(f"vit needs sides that are multiples of {_PATCH} pixels, got {width}x{height}")
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), self.to_patch_embedding(x)], dim=1)
        tokens = tokens + self._positions(height // _PATCH, width // _PATCH)
        logits: Tensor = self.mlp_head(self.transformer(tokens)[:, 0])
        return logits

    def _positions(self, rows: int, columns: int) -> Tensor:
        """The embedding of each position [1, 1 + rows * columns, channels], stretched where there are not 8x8."""
        if rows == columns == _GRID:
            return self.pos_embedding
        own, grid = self.pos_embedding.split([1, _GRID**2], dim=1)
        planes = grid.transpose(1, 2).unflatten(2, (_GRID, _GRID))
        stretched = F.interpolate(planes, size=(rows, columns), mode="bilinear")
        return torch.cat([own, stretched.flatten(2).transpose(1, 2)], dim=1)


class Patches(nn.Module):
    """Cuts pictures into patches, row by row; within a patch the channel runs fastest."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, H W / 16, 16 C]."""
        patches: Tensor = x.unflatten(3, (-1, _PATCH)).unflatten(2, (-1, _PATCH))
        return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


class Transformer(nn.Module):
    """Layers of attention and perceptron, each on normalised tokens and added to them.

    Args:
        channels: of a token.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([Normalised(channels, Attention(channels)), Normalised(channels, Perceptron(channels))])
            for _ in range(_LAYERS)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [N, T, channels] to tokens."""
        for layer in self.layers:
            for part in layer.children():
                tokens = tokens + part(tokens)
        return tokens


class Normalised(nn.Module):
    """Layer normalisation before a part of the net.

    Args:
        channels: of a token.
        part: maps tokens to tokens.
    """

    def __init__(self, channels: int, part: nn.Module):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fn = part

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [N, T, channels] to tokens."""
        mapped: Tensor = self.fn(self.norm(tokens))
        return mapped


class Attention(nn.Module):
    """Softmax attention with eight heads.

    Args:
        channels: of a token, a multiple of eight.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [N, T, channels] to tokens."""
        queries, keys, values = self.to_qkv(tokens).unflatten(2, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.mT / queries.shape[3] ** 0.5).softmax(dim=3)
        mixed: Tensor = self.to_out((weights @ values).transpose(1, 2).flatten(2))
        return mixed


class Perceptron(nn.Module):
    """Two linear layers around a GELU.

    Args:
        channels: of a token, and between the layers.
    """

    def __init__(self, channels: int):
        super().__init__()
        # The third place is that of the published net's dropout.
        self.net = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Identity(), nn.Linear(channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [N, T, channels] to tokens."""
        mapped: Tensor = self.net(tokens)
        return mapped
