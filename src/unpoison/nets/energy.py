"""Networks that give an image one number, its energy: low for natural images, higher for perturbed ones."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.core.errors import ModelError

_LEAK = 0.05
_SMALLEST = 4  # pixels a side that are halved twice


class SnganEnergy(nn.Module):
    """The discriminator of SNGAN without its spectral norm: four residual blocks, a mean over the picture, one number.

    Takes pictures of any size from 4x4; 1,053,824 parameters at the published width. Names and shapes are those of
    the published weights.

    Args:
        width: channels of every block.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
        Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018,
        https://arxiv.org/abs/1802.05957
    """

    def __init__(self, width: int = 128):
        super().__init__()
        self.block1 = _FirstBlock(width)
        self.block2 = _HalvingBlock(width)
        self.block3 = _Block(width)
        self.block4 = _Block(width)
        self.l5 = nn.Linear(width, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Energy of images.

        Args:
            x: [N, 3, H, W] float32 in [-1, 1].

        Returns:
            [N].

        Raises:
            ModelError: pictures that cannot be halved twice.
        """
        if min(x.shape[2:]) < _SMALLEST:
            raise ModelError(
                f"this energy model takes pictures from {_SMALLEST}x{_SMALLEST} pixels, not {x.shape[3]}x{x.shape[2]}"
            )
        features = self.block4(self.block3(self.block2(self.block1(x))))
        # Not through the layer itself, which autocast would round: energies differ by little from image to image.
        return (F.relu(features).float().mean(dim=(2, 3)) * self.l5.weight).sum(dim=1)


class ConvEnergy(nn.Module):
    """Five convolutions, without normalisation; for pictures of 32x32 only. 693,569 parameters at width 32.

    Args:
        width: channels after the first convolution; they double three times.

    References:
        Bhat et al., PureGen, 2024, https://arxiv.org/abs/2405.18627
        Nijkamp et al., Learning Non-Convergent Non-Persistent Short-Run MCMC Toward Energy-Based Model, 2019,
        https://arxiv.org/abs/1904.09770
    """

    def __init__(self, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(_LEAK)]
        for before, after in pairwise((width, 2 * width, 4 * width, 8 * width)):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(_LEAK)]
        self.f = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Energy of images, [N, 3, 32, 32] float32 in [-1, 1] to [N].

        Raises:
            ModelError: pictures of another size.
        """
        if x.shape[2:] != (32, 32):
            raise ModelError(f"this energy model takes pictures of 32x32 pixels only, not {x.shape[3]}x{x.shape[2]}")
        energy: Tensor = self.f(x)
        return energy.flatten()


class _FirstBlock(nn.Module):
    """Pixels to features at half the resolution."""

    def __init__(self, width: int):
        super().__init__()
        self.c1 = _conv3(3, width)
        self.c2 = _conv3(width, width)
        self.c_sc = nn.Conv2d(3, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = _halve(F.relu(self.c1(x)), self.c2) + self.c_sc(F.avg_pool2d(x, 2))
        return halved


class _HalvingBlock(nn.Module):
    """Features to features at half the resolution."""

    def __init__(self, width: int):
        super().__init__()
        self.c1 = _conv3(width, width)
        self.c2 = _conv3(width, width)
        self.c_sc = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # The paper's shortcut convolves first; a pointwise convolution and a mean may change places.
        halved: Tensor = _halve(F.relu(self.c1(F.relu(x))), self.c2) + self.c_sc(F.avg_pool2d(x, 2))
        return halved


class _Block(nn.Module):
    """Features to features."""

    def __init__(self, width: int):
        super().__init__()
        self.c1 = _conv3(width, width)
        self.c2 = _conv3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.c2(F.relu(self.c1(F.relu(x))))
        return x + change


def _conv3(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _halve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 3x3 convolution and the mean of every 2x2 pixels, as one 4x4 convolution of stride 2: less than half the work.

    Each output is the mean of four overlapping 3x3 windows, so its kernel is the mean of the four shifted kernels.
    """
    shifts = [(left, 1 - left, top, 1 - top) for top in (0, 1) for left in (0, 1)]
    kernel = torch.stack([F.pad(conv.weight, shift) for shift in shifts]).mean(dim=0)
    return F.conv2d(x, kernel, conv.bias, stride=2, padding=1)
