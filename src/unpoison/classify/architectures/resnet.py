"""ResNets for small pictures: a 3x3 stem without pooling, four stages, global average pooling.

References:
    He et al., Deep residual learning for image recognition, CVPR 2016, https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.nets.pointwise import Pointwise


def resnet18(classes: int, width: int = 64) -> nn.Module:
    """ResNet-18: 11,173,962 parameters at 10 classes and width 64."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, width)


def resnet34(classes: int, width: int = 64) -> nn.Module:
    """ResNet-34: 21,282,122 parameters at 10 classes and width 64."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes, width)


def resnet50(classes: int, width: int = 64) -> nn.Module:
    """ResNet-50: 23,520,842 parameters at 10 classes and width 64."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, width)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Args:
        inputs: channels that come in.
        channels: channels of both convolutions.
        stride: of the first convolution.
    """

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(inputs, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, channels, H / stride, W / stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class Bottleneck(nn.Module):
    """A 1x1, a strided 3x3 and a widening 1x1 convolution, and a shortcut.

    Args:
        inputs: channels that come in.
        channels: channels of the 3x3 convolution; four times as many go out.
        stride: of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        outputs = channels * self.expansion
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, 4 channels, H / stride, W / stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, mean over the picture, linear head.

    Args:
        block: kind of residual block.
        depths: blocks per stage.
        classes: number of classes.
        width: channels of the first stage; each later one has twice as many.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int], classes: int, width: int
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(block, width, width, depths[0], stride=1)
        self.layer2 = _stage(block, width * block.expansion, 2 * width, depths[1], stride=2)
        self.layer3 = _stage(block, 2 * width * block.expansion, 4 * width, depths[2], stride=2)
        self.layer4 = _stage(block, 4 * width * block.expansion, 8 * width, depths[3], stride=2)
        self.linear = nn.Linear(8 * width * block.expansion, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        logits: Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, channels: int, depth: int, *, stride: int
) -> nn.Module:
    rest = [block(channels * block.expansion, channels, 1) for _ in range(depth - 1)]
    return nn.Sequential(block(inputs, channels, stride), *rest)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(Pointwise(inputs, outputs, stride), nn.BatchNorm2d(outputs))
