"""A classifier made of the body of our small denoisers: ECLIPSE's adaptive attack wants a U-Net for a surrogate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unpoison.nets.half_resolution import HalfResolutionUNet


def unet(classes: int, width: int = 64) -> nn.Module:
    """The U-Net: 961,610 parameters at 10 classes and width 64."""
    return UNetClassifier(classes, width)


class UNetClassifier(HalfResolutionUNet):
    """The body of the compact denoiser without its time, its planes averaged over the picture, and a linear head.

    Args:
        classes: number of classes.
        width: channels at half resolution, and planes before the head.

    References:
        ECLIPSE, section 4.4, turns its own denoiser into a classifier by a convolution and global average pooling,
        https://arxiv.org/abs/2406.15093
    """

    def __init__(self, classes: int, width: int):
        super().__init__(in_channels=3, out_channels=width, channels=width, blocks=(1, 2, 1), embedding=1)
        self.leave.reset_parameters()  # a denoiser's begins at zero
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes]."""
        logits: Tensor = self.linear(self.transform(x, torch.zeros(1, 1, device=x.device)).mean(dim=(2, 3)))
        return logits
