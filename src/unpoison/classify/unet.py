"""A classifier made of the body of our small denoisers: ECLIPSE's adaptive attack wants a U-Net for a surrogate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unpoison.nets.half_resolution import HalfResolutionUNet


def unet(classes: int, width: int = 64) -> nn.Module:
    """A U-Net whose output has a plane for each class, averaged over the picture."""
    return UNetClassifier(classes, width)


class UNetClassifier(HalfResolutionUNet):
    """The body of the compact denoiser, with class planes in place of colours and no time.

    Args:
        classes: number of classes.
        width: channels at half resolution.

    References:
        ECLIPSE, section 4.4, turns its own denoiser into a classifier in this way,
        https://arxiv.org/abs/2406.15093
    """

    def __init__(self, classes: int, width: int):
        super().__init__(in_channels=3, out_channels=classes, channels=width, blocks=(1, 2, 1), embedding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to logits [N, classes]."""
        return self.transform(x, torch.zeros(1, 1, device=x.device)).mean(dim=(2, 3))
