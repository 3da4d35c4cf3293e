"""Total variation: the nearest picture with less ups and downs."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import TotalVariationSettings

_STEP = 0.125  # the largest for which convergence is proved


class TotalVariationFilter(Filter):
    """Lowers TV(u) + |u - x|^2 / (2 weight) over pictures u, channel by channel: edges stay, small waves go.

    TV sums the length of the gradient over all pixels. Each iteration costs some ten passes over the pixels.

    References:
        Chambolle: An Algorithm for Total Variation Minimization and Applications, Journal of Mathematical Imaging and
        Vision 20, 2004, https://doi.org/10.1023/B:JMIV.0000011325.36760.1e
        Guo, Rana, Cisse, van der Maaten: Countering Adversarial Images using Input Transformations, ICLR 2018,
        https://arxiv.org/abs/1711.00117
    """

    Settings = TotalVariationSettings

    def __init__(self, settings: TotalVariationSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.halo = settings.iterations + 1  # a pixel an iteration, and one for the last divergence

    def apply(self, images: Tensor) -> Tensor:
        smoothed = lower_total_variation(images, self.settings.weight, iterations=self.settings.iterations)
        return smoothed.clamp(0, 1)


def lower_total_variation(images: Tensor, weight: float, *, iterations: int) -> Tensor:
    """Chambolle's iteration on the dual field p, whose arrows are never longer than 1.

    From p = 0:  g = grad(div p - x / weight),  p <- (p + step g) / (1 + step |g|).  Then u = x - weight div p.

    Args:
        images: [N, C, H, W] float32; not changed.
        weight: lambda of the paper, in the units of the images.
        iterations: how many.

    Returns:
        [N, C, H, W] float32, each channel with the mean that it had.
    """
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    for _ in range(iterations):
        rise_down, rise_right = gradient(divergence(down, right) - images / weight)
        length = (rise_down * rise_down + rise_right * rise_right).sqrt()
        shrink = 1 + _STEP * length
        down = (down + _STEP * rise_down) / shrink
        right = (right + _STEP * rise_right) / shrink
    return images - weight * divergence(down, right)


def gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Difference to the next row and to the next column, 0 at the last: two of [N, C, H, W]."""
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    down[..., :-1, :] = images[..., 1:, :] - images[..., :-1, :]
    right[..., :-1] = images[..., 1:] - images[..., :-1]
    return down, right


def divergence(down: Tensor, right: Tensor) -> Tensor:
    """The negative adjoint of `gradient`: <grad u, p> = -<u, div p>. Its sum over a picture is 0."""
    flow = torch.zeros_like(down)
    flow[..., :-1, :] += down[..., :-1, :]
    flow[..., 1:, :] -= down[..., :-1, :]
    flow[..., :-1] += right[..., :-1]
    flow[..., 1:] -= right[..., :-1]
    return flow
