"""A first layer whose output is white: its filters are found from the training pictures, not learnt.

References:
    Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024, section 3.1, https://arxiv.org/abs/2404.00498
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WhiteningConv(nn.Conv2d):
    """A convolution without padding, made to be whitened; its bias begins at zero.

    Args:
        inputs: channels that come in.
        outputs: twice the values of a patch.
        side: of a patch.
    """

    def __init__(self, inputs: int, outputs: int, side: int):
        super().__init__(inputs, outputs, side)
        nn.init.zeros_(self.get_parameter("bias"))

    def whiten(self, images: Tensor) -> None:
        """Set the filters from pictures [N, C, H, W] as the layer sees them, and keep them from learning."""
        filters = whitening_filters(images, side=self.kernel_size[0])
        with torch.no_grad():
            self.weight.copy_(torch.cat([filters, -filters]))
        self.weight.requires_grad_(False)


def whitening_filters(images: Tensor, *, side: int, epsilon: float = 5e-4) -> Tensor:
    """Filters whose responses to the pictures' patches are uncorrelated and, but for epsilon, of variance one.

    They are the eigenvectors of the patches' covariance, each divided by sqrt(eigenvalue + epsilon).

    Args:
        images: [N, C, H, W] float32.
        side: of a patch, in pixels.
        epsilon: keeps directions in which the patches hardly vary from being blown up.

    Returns:
        [C side^2, C, side, side] float32, the strongest direction first.
    """
    patches = images.unfold(2, side, 1).unfold(3, side, 1).transpose(1, 3).reshape(-1, images.shape[1] * side**2)
    eigenvalues, eigenvectors = torch.linalg.eigh(patches.T.cov())
    filters: Tensor = (eigenvectors / (eigenvalues.clamp(min=0) + epsilon).sqrt()).T.flip(0)
    return filters.reshape(-1, images.shape[1], side, side)
