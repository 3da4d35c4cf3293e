"""DenseNet-121 for small pictures, and ECLIPSE's form of it.

References:
    Huang et al., Densely connected convolutional networks, CVPR 2017, https://arxiv.org/abs/1608.06993
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def densenet121(classes: int, width: int = 64) -> nn.Module:
    """DenseNet-121 with a bare 3x3 stem: 6,956,298 parameters at 10 classes and width 64."""
    return DenseNet(nn.Sequential(), classes, width)


def densenet121_eclipse(classes: int, width: int = 64) -> nn.Module:
    """ECLIPSE's DenseNet-121: 6,956,426 parameters at 10 classes and width 64.

    The ImageNet network with its 7x7 stem exchanged for a 3x3 one. What follows that stem stays: normalisation (the
    128 further parameters) and the 3x3 max-pooling that halves the picture. So do its Kaiming weights.
    """
    pooling = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))
    net = DenseNet(pooling, classes, width)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    nn.init.zeros_(net.linear.bias)
    return net


class DenseLayer(nn.Module):
    """Normalise, squeeze by 1x1, convolve 3x3, and put the result before the input.

    Args:
        inputs: channels that come in.
        growth: channels that are added.
    """

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, growth + inputs, H, W]."""
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        return torch.cat([out, x], dim=1)


class Transition(nn.Module):
    """Halve channels and sides between two dense stages.

    Args:
        inputs: channels that come in.
    """

    def __init__(self, inputs: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, inputs / 2, H / 2, W / 2]."""
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Stem, four dense stages of 6, 12, 24 and 16 layers, mean over the picture, linear head.

    Args:
        pooling: what follows the 3x3 stem.
        classes: number of classes.
        width: channels of the stem; every dense layer adds half as many.
    """

    def __init__(self, pooling: nn.Module, classes: int, width: int):
        super().__init__()
        growth = width // 2
        channels = (width, 4 * width, 8 * width, 16 * width)
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.pooling = pooling
        self.dense1 = _stage(channels[0], growth, 6)
        self.trans1 = Transition(channels[0] + 6 * growth)
        self.dense2 = _stage(channels[1] // 2, growth, 12)
        self.trans2 = Transition(channels[2])
        self.dense3 = _stage(channels[2] // 2, growth, 24)
        self.trans3 = Transition(channels[3])
        self.dense4 = _stage(channels[3] // 2, growth, 16)
        self.bn = nn.BatchNorm2d(channels[3])
        self.linear = nn.Linear(channels[3], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes]."""
        out = self.trans1(self.dense1(self.pooling(self.conv1(x))))
        out = self.trans3(self.dense3(self.trans2(self.dense2(out))))
        out = F.relu(self.bn(self.dense4(out)))
        logits: Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


def _stage(inputs: int, growth: int, depth: int) -> nn.Module:
    return nn.Sequential(*(DenseLayer(inputs + row * growth, growth) for row in range(depth)))
