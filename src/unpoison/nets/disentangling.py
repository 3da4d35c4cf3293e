"""`DisentanglingVae`: describes a picture in few words, and says what else it carries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.nets.pointwise import Pointwise


@dataclass(frozen=True)
class Split:
    """What a network makes of a batch.

    Args:
        picture: [N, 3, H, W] in [0, 1], the picture as far as its description tells.
        perturbation: [N, 3, H, W], what was laid over it.
        rate: length of the description in nats, mean over the batch and the positions of the grid; a scalar.
    """

    picture: Tensor
    perturbation: Tensor
    rate: Tensor


class DisentanglingVae(nn.Module):
    """A variational autoencoder with a second decoder for the perturbation.

    A small residual network describes the picture on a grid of half its resolution, as a Gaussian of 4 `width` values
    at each position. One draw of it goes to both decoders; the second is also given a learned map for the class, so
    that what all pictures of a class share costs no description.

    Args:
        classes: number of classes.
        height: of the pictures.
        width_pixels: width of the pictures.
        width: channels at full resolution; even.

    References:
        Yu, Wang, Xia, Yang, Lu, Tan, Kot: Purify Unlearnable Examples via Rate-Constrained Variational Autoencoders,
        ICML 2024, https://arxiv.org/abs/2405.01460
    """

    def __init__(self, *, classes: int, height: int, width_pixels: int, width: int = 64):
        super().__init__()
        self.grid = (4 * width, (height + 1) // 2, (width_pixels + 1) // 2)  # of the description
        inner, latent = 2 * width, 4 * width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _Block(width, width),
            _Block(width, width),
            _Block(width, inner, stride=2),
        )
        self.mean, self.log_variance = nn.Conv2d(inner, latent, 1), nn.Conv2d(inner, latent, 1)
        self.described = nn.Conv2d(latent, inner, 1)
        self.picture_decoder, self.perturbation_decoder = _decoder(inner), _decoder(inner)
        self.class_maps = nn.Embedding(classes, inner * self.grid[1] * self.grid[2])

    def forward(self, x: Tensor, labels: Tensor, noise: Tensor) -> Split:
        """Split pictures into what they show and what was laid over them.

        Args:
            x: [N, 3, H, W] float32 in [0, 1].
            labels: [N] int64.
            noise: [N, *grid] standard normal.
        """
        features = self.encoder(x)
        mean, log_variance = self.mean(features), self.log_variance(features)
        described = self.described(mean + torch.exp(log_variance / 2) * noise)
        class_map = self.class_maps(labels).reshape(described.shape)
        height, width = x.shape[2:]  # of odd sides, the grid covers one pixel more
        picture = self.picture_decoder(described)[..., :height, :width].sigmoid()
        perturbation = self.perturbation_decoder(described + class_map)[..., :height, :width]
        return Split(picture, perturbation, rate(mean, log_variance))


def rate(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence from the standard normal, in nats: summed over the channels, mean over batch and positions.

    Args:
        mean: [N, C, h, w].
        log_variance: [N, C, h, w].
    """
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, *, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if (channels_in, stride) != (channels, 1):
            self.shortcut = nn.Sequential(Pointwise(channels_in, channels, stride), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def _decoder(inner: int) -> nn.Sequential:
    """From `inner` channels on the grid to three at twice its resolution."""
    width = inner // 2
    return nn.Sequential(
        nn.ConvTranspose2d(inner, width, 4, stride=2, padding=1),
        nn.Conv2d(width, width, 3, padding=1),
        nn.InstanceNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width // 2, 3, padding=1),
        nn.InstanceNorm2d(width // 2),
        nn.ReLU(),
        nn.Conv2d(width // 2, 3, 3, padding=1),
    )
