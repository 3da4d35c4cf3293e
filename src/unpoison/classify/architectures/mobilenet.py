"""MobileNetV2 for small pictures: strides of one where the ImageNet network halves the picture first.

References:
    Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018, https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

# Expansion, channels at width 64, blocks and first stride of each stage.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM, _LAST = 32, 1280


def mobilenetv2(classes: int, width: int = 64) -> nn.Module:
    """MobileNetV2: 2,296,922 parameters at 10 classes and width 64, where its stem has 32 channels."""
    return MobileNetV2(classes, width)


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by 1x1 without a nonlinearity.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        expansion: how many times as many channels there are in between.
        stride: of the 3x3 convolution; a shortcut is added where it is 1.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int):
        super().__init__()
        channels = expansion * inputs
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride == 1 and inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        change: Tensor = self.bn3(self.conv3(out))
        return change + self.shortcut(x) if self.stride == 1 else change


class MobileNetV2(nn.Module):
    """Stem, seven stages of inverted residuals, 1x1 convolution, mean over the picture, linear head.

    Args:
        classes: number of classes.
        width: twice the channels of the stem; 64 gives the published net, and all channels go with it.
    """

    def __init__(self, classes: int, width: int):
        super().__init__()
        stem, last = _scaled(_STEM, width), _scaled(_LAST, width)
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        blocks: list[nn.Module] = []
        inputs = stem
        for expansion, channels, depth, first in _STAGES:
            outputs = _scaled(channels, width)
            for stride in (first, *[1] * (depth - 1)):
                blocks.append(InvertedResidual(inputs, outputs, expansion, stride))
                inputs = outputs
        self.layers = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(inputs, last, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(last)
        self.linear = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes]."""
        out = self.layers(F.relu(self.bn1(self.conv1(x))))
        out = F.relu(self.bn2(self.conv2(out)))
        logits: Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


def _scaled(channels: int, width: int) -> int:
    return channels * width // 64
