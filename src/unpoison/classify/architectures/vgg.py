"""VGG with batch normalisation and a single linear layer as head.

References:
    Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015, https://arxiv.org/abs/1409.1556
"""

from __future__ import annotations

from torch import Tensor, nn

from unpoison.core.errors import SettingsError

_MULTIPLES = (1, 2, 4, 8, 8)  # channels of the five stages, in units of the width


def vgg11(classes: int, width: int = 64) -> nn.Module:
    """VGG-11: 9,231,114 parameters at 10 classes and width 64."""
    return VGG((1, 1, 2, 2, 2), classes, width)


def vgg16(classes: int, width: int = 64) -> nn.Module:
    """VGG-16: 14,728,266 parameters at 10 classes and width 64."""
    return VGG((2, 2, 3, 3, 3), classes, width)


def vgg19(classes: int, width: int = 64) -> nn.Module:
    """VGG-19: 20,040,522 parameters at 10 classes and width 64."""
    return VGG((2, 2, 4, 4, 4), classes, width)


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each halved by max-pooling, mean over the picture, linear head.

    Args:
        depths: convolutions per stage.
        classes: number of classes.
        width: channels of the first stage.
    """

    def __init__(self, depths: tuple[int, ...], classes: int, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for depth, multiple in zip(depths, _MULTIPLES, strict=True):
            for _ in range(depth):
                channels = width * multiple
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
                inputs = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes].

        Raises:
            SettingsError: a side is below 32 pixels, which five poolings leave empty.
        """
        if min(x.shape[2:]) < 32:
            raise SettingsError(
                f"VGG needs pictures of at least 32x32 pixels, got {x.shape[3]}x{x.shape[2]}; choose resnet18"
            )
        logits: Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return logits
