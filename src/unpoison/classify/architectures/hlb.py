"""The small nets of CIFAR-10 speed training: a 2x2 stem, three groups of convolutions that begin as identities.

References:
    Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024, https://arxiv.org/abs/2404.00498
    Bhat et al., PureGen: universal data purification for train-time poison defense, NeurIPS 2024,
    https://arxiv.org/abs/2405.18627 (its classifiers HLB_S, HLB_M and HLB_L)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.classify.architectures.whitening import WhiteningConv
from unpoison.core.errors import SettingsError

_STEM = 24  # twice the 12 values of a 2x2 patch
_LOGIT_SCALE = 1 / 9


def hlb_s(classes: int, width: int = 64) -> nn.Module:
    """PureGen's HLB_S: 1,972,816 parameters at 10 classes and width 64."""
    return HLB(_learnt_stem(0.7), (width, 4 * width, 4 * width), classes, memory=0.7)


def hlb_m(classes: int, width: int = 64) -> nn.Module:
    """PureGen's HLB_M, whose groups have 128, 384 and 384 channels: 4,606,544 parameters at 10 classes and width 64."""
    return HLB(_learnt_stem(0.6), (2 * width, 6 * width, 6 * width), classes, memory=0.6)


def hlb_l(classes: int, width: int = 64) -> nn.Module:
    """PureGen's HLB_L as it was meant, with 128, 512 and 512 channels: 12,721,232 parameters at 10 classes, width 64.

    The reference compares its name with a misspelt one and trains HLB_S instead.
    """
    return HLB(_learnt_stem(0.6), (2 * width, 8 * width, 8 * width), classes, memory=0.6, heavy=True)


def airbench94(classes: int, width: int = 64) -> nn.Module:
    """The net of airbench94: 1,972,792 parameters at 10 classes and width 64.

    HLB_S whose stem has a bias in place of normalisation; the profile `airbench` whitens it.
    """
    return HLB(WhiteningConv(3, _STEM, 2), (width, 4 * width, 4 * width), classes, memory=0.6)


class BiasNorm(nn.BatchNorm2d):
    """Batch normalisation that learns a bias and no scale.

    Args:
        channels: of its input.
        memory: share of the running statistics that survives a step.
    """

    def __init__(self, channels: int, memory: float):
        super().__init__(channels, eps=1e-12, momentum=1 - memory)
        self.weight.requires_grad_(False)


class Group(nn.Module):
    """Convolve, halve by max-pooling, and convolve again; a heavy group convolves a third time beside a shortcut.

    Args:
        inputs: channels that come in.
        channels: channels that go out.
        memory: of the first and the third normalisation; the second always has 0.6, as in PureGen's code.
        heavy: whether there is a third convolution.
    """

    def __init__(self, inputs: int, channels: int, *, memory: float, heavy: bool):
        super().__init__()
        self.conv1 = _identity_conv(inputs, channels, 3)
        self.norm1 = BiasNorm(channels, memory)
        self.conv2 = _identity_conv(channels, channels, 3)
        self.norm2 = BiasNorm(channels, 0.6)
        self.heavy = heavy
        if heavy:
            self.conv3 = _identity_conv(channels, channels, 3)
            self.norm3 = BiasNorm(channels, memory)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, channels, H / 2, W / 2]."""
        halved = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        out = F.gelu(self.norm2(self.conv2(halved)))
        return halved + F.gelu(self.norm3(self.conv3(out))) if self.heavy else out


class HLB(nn.Module):
    """Stem, three groups, maximum over the picture, linear head without bias, logits divided by nine.

    Args:
        stem: maps pictures [N, 3, H, W] to [N, 24, H - 1, W - 1].
        channels: of the groups.
        classes: number of classes.
        memory: see `Group`.
        heavy: see `Group`.
    """

    def __init__(
        self, stem: nn.Module, channels: tuple[int, int, int], classes: int, *, memory: float, heavy: bool = False
    ):
        super().__init__()
        self.stem = stem
        self.group1 = Group(_STEM, channels[0], memory=memory, heavy=heavy)
        self.group2 = Group(channels[0], channels[1], memory=memory, heavy=heavy)
        self.group3 = Group(channels[1], channels[2], memory=memory, heavy=heavy)
        self.linear = nn.Linear(channels[2], classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes].

        Raises:
            SettingsError: a side is below 9 pixels, which the stem and three poolings leave empty.
        """
        if min(x.shape[2:]) < 9:
            raise SettingsError(
                f"HLB nets need pictures of at least 9x9 pixels, got {x.shape[3]}x{x.shape[2]}; choose resnet18"
            )
        out = self.group3(self.group2(self.group1(F.gelu(self.stem(x)))))
        # At 32 pixels the groups leave 3x3, which the published nets pool in one window.
        logits: Tensor = self.linear(out.amax(dim=(2, 3)))
        return _LOGIT_SCALE * logits


def _learnt_stem(memory: float) -> nn.Module:
    return nn.Sequential(_identity_conv(3, _STEM, 2), BiasNorm(_STEM, memory))


def _identity_conv(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    """A convolution whose first filters hand their input on: the net begins as if it had shortcuts."""
    conv = nn.Conv2d(inputs, outputs, side, padding=0 if side == 2 else "same", bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:inputs])
    return conv
